import { expect, test } from 'vitest'
import { hashToken } from '../../src/store/token.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { rowsOf } from '../harness/rows.ts'

const badUserIds = {
  nothing: '',
  'a NUL': 'a\u0000b',
  'a line break': 'a\nb',
  'a delete character': 'a\u007f',
  'a terminal control of the second kind': 'a\u009b31mb',
  'half a surrogate pair': 'a\ud800',
  '257 characters': 'x'.repeat(257),
}

/** Users and API keys. */
export function accountsSuite(bed: Bed): void {
  test('a user is made once and found again', async () => {
    const { users } = await (await bed.place()).stele()
    const made = await users.create('ada', { email: 'ada@example.org', role: 'admin' })
    expect(await users.get('ada')).toEqual(made)
    expect(made).toMatchObject({
      id: 'ada',
      email: 'ada@example.org',
      username: null,
      role: 'admin',
      status: 'active',
    })
    await failure('already_exists', users.create('ada'))
    expect(await users.get('ada')).toEqual(made)
  })

  test('an unknown user is undefined', async () => {
    const { users } = await (await bed.place()).stele()
    expect(await users.get('nobody')).toBeUndefined()
  })

  test('ensuring a user that is there changes nothing', async () => {
    const { users } = await (await bed.place()).stele()
    const made = await users.create('ada', { role: 'admin' })
    await users.ensure('ada')
    await users.ensure('bob')
    expect(await users.get('ada')).toEqual(made)
    expect(await users.get('bob')).toMatchObject({ role: 'member' })
  })

  test('users are listed by id, by code point, page by page, each once', async () => {
    const { users } = await (await bed.place()).stele()
    const ids = ['a', 'B', 'ä', 'z', 'Z', '10', '9', 'a b', '👩', 'aa', '_']
    for (const id of ids) await users.create(id)
    const found: string[] = []
    for (let after: string | undefined; ; ) {
      const page = await users.list({ limit: 3, ...(after === undefined ? {} : { after }) })
      if (page.length === 0) break
      found.push(...page.map(user => user.id))
      after = found.at(-1)
    }
    const byCodePoint = ids.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    expect(found).toEqual(byCodePoint)
  })

  test('a user id that is empty, too long or holds what no name holds is refused everywhere', async () => {
    const stele = await (await bed.place()).stele()
    for (const [what, id] of Object.entries(badUserIds)) {
      await failure('invalid_value', stele.users.create(id), what)
      await failure('invalid_value', stele.users.ensure(id), what)
      await failure('invalid_value', stele.apiKeys.create({ userId: id }), what)
      const interaction = {
        userId: id,
        model: 'm',
        messages: [{ role: 'user', content: 'Hi' }],
        responseText: 'Hello',
      }
      await failure('invalid_value', stele.saveInteraction(interaction), what)
    }
    expect(await rowsOf(stele, 'users')).toEqual([])
    expect(await rowsOf(stele, 'llm_requests')).toEqual([])
  })

  test('a key is found by its secret, which is stored nowhere', async () => {
    const stele = await (await bed.place()).stele()
    const { secret, ...made } = await stele.apiKeys.create({
      userId: 'ada',
      name: 'laptop',
      scopes: ['service', 'admin'],
    })
    expect(await stele.apiKeys.findBySecret(secret)).toEqual(made)
    expect(made).toMatchObject({
      userId: 'ada',
      name: 'laptop',
      scopes: ['service', 'admin'],
      revokedAt: undefined,
    })
    expect(secret.startsWith(made.prefix)).toBe(true)
    expect(made.prefix.length).toBeLessThan(secret.length / 2)
    const stored = JSON.stringify([await rowsOf(stele, 'api_keys'), await rowsOf(stele, 'audit_events')])
    expect(stored).not.toContain(secret.slice(made.prefix.length))
  })

  test('a key makes its user when there is none', async () => {
    const { users, apiKeys } = await (await bed.place()).stele()
    await apiKeys.create({ userId: 'ada' })
    expect(await users.get('ada')).toMatchObject({ role: 'member' })
  })

  test('of a secret that somebody made up nothing is kept that a guess can be tried on', async () => {
    const stele = await (await bed.place()).stele()
    const { kysely } = stele.database
    const secret = 'summer-holidays-2026'
    const hashOf = async () => (await rowsOf(stele, 'api_keys'))[0]?.key_hash
    const plain = hashToken(secret)
    const made = await stele.apiKeys.createFirst({ userId: 'admin', scopes: ['admin'], secret })
    expect(await hashOf()).not.toBe(plain)
    expect(await hashOf()).toBe(stele.hashes.apiKey(secret))
    expect(await stele.apiKeys.holder(secret)).toMatchObject({ key: { id: made?.id } })
    expect(await stele.apiKeys.holder(`${secret}!`)).toBeUndefined()
    expect(await stele.apiKeys.isInstalled(secret)).toBe(true)
    // One that was kept otherwise lets in, and is kept so from the next start on.
    await kysely.updateTable('api_keys').set({ key_hash: plain }).execute()
    expect(await stele.apiKeys.holder(secret)).toMatchObject({ key: { id: made?.id } })
    expect(await stele.apiKeys.isInstalled(secret)).toBe(false)
    expect(await stele.apiKeys.createFirst({ userId: 'admin', scopes: ['admin'], secret })).toBeUndefined()
    expect(await hashOf()).toBe(stele.hashes.apiKey(secret))
    // Random ones are looked up by what everybody can compute, which no import changes.
    const random = await stele.apiKeys.create({ userId: 'ada' })
    expect((await rowsOf(stele, 'api_keys')).map(row => row.key_hash)).toContain(hashToken(random.secret))
  })

  test('a secret that was rotated away does not come back as a first key', async () => {
    const { apiKeys } = await (await bed.place()).stele()
    const secret = 'leaked-and-rotated-0123456789'
    const made = await apiKeys.createFirst({ userId: 'admin', scopes: ['admin'], secret })
    const { secret: next } = await apiKeys.rotate(made?.id ?? '', { grace: 0 })
    expect(await apiKeys.isInstalled(secret)).toBe(true)
    expect(await apiKeys.createFirst({ userId: 'admin', scopes: ['admin'], secret })).toBeUndefined()
    expect(await apiKeys.holder(secret)).toMatchObject({ validUntil: expect.any(Number) })
    expect(await apiKeys.list()).toHaveLength(1)
    expect(await apiKeys.holder(next)).toBeDefined()
  })

  test('an unknown secret finds nothing', async () => {
    const { apiKeys } = await (await bed.place()).stele()
    const { secret } = await apiKeys.create({ userId: 'ada' })
    expect(await apiKeys.findBySecret(`${secret}x`)).toBeUndefined()
    expect(await apiKeys.findBySecret('')).toBeUndefined()
  })

  test('keys are listed by user, and it is known whether there are any', async () => {
    const { apiKeys } = await (await bed.place()).stele()
    expect(await apiKeys.any()).toBe(false)
    const [ada, bob] = [await apiKeys.create({ userId: 'ada' }), await apiKeys.create({ userId: 'bob' })]
    expect(await apiKeys.any()).toBe(true)
    expect((await apiKeys.list()).map(key => key.id)).toEqual([ada.id, bob.id])
    expect((await apiKeys.list({ userId: 'bob' })).map(key => key.id)).toEqual([bob.id])
    expect(await apiKeys.list({ userId: 'eve' })).toEqual([])
  })

  test('revoking is kept, is told in the audit once, and again changes nothing', async () => {
    const stele = await (await bed.place()).stele()
    const { id, secret } = await stele.apiKeys.create({ userId: 'ada' })
    const revoked = await stele.apiKeys.revoke(id)
    expect(revoked.revokedAt).toBeTypeOf('number')
    expect(await stele.apiKeys.revoke(id)).toEqual(revoked)
    expect(await stele.apiKeys.findBySecret(secret)).toEqual(revoked)
    const events = await rowsOf(stele, 'audit_events')
    expect(events.map(event => [event.user_id, event.action, event.target])).toEqual([
      ['ada', 'api_key.created', id],
      ['ada', 'api_key.revoked', id],
    ])
  })

  test('revoking an unknown key says so', async () => {
    const { apiKeys } = await (await bed.place()).stele()
    await failure('api_key_not_found', apiKeys.revoke('key_01h455vb4pex5vsknk084sn02q'))
  })

  test('the same secret cannot be two keys', async () => {
    const stele = await (await bed.place()).stele()
    await stele.apiKeys.create({ userId: 'ada', secret: 'a-secret-of-my-own' })
    await expect(stele.apiKeys.create({ userId: 'bob', secret: 'a-secret-of-my-own' })).rejects.toThrow()
    expect(await stele.apiKeys.list()).toHaveLength(1)
    expect(await stele.users.get('bob')).toBeUndefined()
  })

  test('when a key was last used is written by the time the recorder is closed', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const used = await stele.apiKeys.create({ userId: 'ada' })
    const unused = await stele.apiKeys.create({ userId: 'ada' })
    const before = Date.now()
    await stele.recorder.start()
    stele.recorder.touchKey(used.id)
    await stele.recorder.close()
    const keys = new Map((await stele.apiKeys.list()).map(key => [key.id, key]))
    expect(keys.get(used.id)?.lastUsedAt).toBeGreaterThanOrEqual(before)
    expect(keys.get(unused.id)?.lastUsedAt).toBeUndefined()
  })
}
