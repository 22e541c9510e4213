import { userInfo } from 'node:os'
import { expect, test } from 'vitest'
import { describeEachDatabase } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

interface KeyRecord {
  readonly id: string
  readonly state: string
  readonly secret: string
}

describeEachDatabase('stele keys', bed => {
  test('create prints the key alone on stdout, and the key works', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const made = await runStele(['keys', 'create', '--user', 'ada', '--name', 'laptop', '--expires', '30d'], {
      place,
    })
    expect(made.code).toBe(0)
    expect(made.stdout).toMatch(/^sk-stele-[\w-]{49}\n$/)
    expect(made.stderr).not.toContain(made.stdout.trim())
    const key = await stele.apiKeys.findBySecret(made.stdout.trim())
    expect(key).toMatchObject({ userId: 'ada', name: 'laptop', scopes: ['member'] })
    expect((key?.expiresAt ?? 0) - (key?.createdAt ?? 0)).toBeLessThanOrEqual(30 * 86_400_000)
    expect(made.stderr).toContain(key?.id)
  })

  test.each([
    { flags: [], masking: null, policy: undefined },
    { flags: ['--mask-before-llm'], masking: 'before-llm', policy: { beforeLlm: true, inStorage: false } },
    {
      flags: ['--mask-in-storage', '--mask-before-llm'],
      masking: 'before-llm in-storage',
      policy: { beforeLlm: true, inStorage: true },
    },
  ])('a key may demand masking: $flags', async ({ flags, masking, policy }) => {
    const place = await bed.place()
    const stele = await place.stele()
    const made = await runJson<KeyRecord>(['keys', 'create', '--user', 'ada', ...flags], { place })
    expect(made).toMatchObject({ masking })
    expect((await stele.apiKeys.findBySecret(made.secret))?.masking).toEqual(policy)
    expect(await runJson<KeyRecord[]>(['keys', 'list'], { place })).toEqual([
      expect.objectContaining({ id: made.id, masking }),
    ])
  })

  test('list shows keys without their secrets, revoke ends one for good', async () => {
    const place = await bed.place()
    await place.stele()
    const service = await runJson<KeyRecord>(['keys', 'create', '--user', 'app', '--service'], { place })
    expect(service).toMatchObject({ user_id: 'app', scopes: ['service'], expires_at: null })
    expect(service.secret).toMatch(/^sk-stele-/)
    const admin = await runJson<KeyRecord>(
      ['keys', 'create', '--user', 'root', '--admin', '--expires', '2099-12-31'],
      { place },
    )
    expect(admin).toMatchObject({ scopes: ['admin'], expires_at: '2099-12-31T00:00:00.000Z' })

    const table = await runStele(['keys', 'list'], { place })
    expect(table.stdout).toContain(service.id)
    for (const { secret } of [service, admin]) expect(table.stdout).not.toContain(secret)
    const listed = await runJson<KeyRecord[]>(['keys', 'list', '--user', 'app'], { place })
    expect(listed).toEqual([
      expect.objectContaining({ id: service.id, state: 'active', revoked_at: null, last_used_at: null }),
    ])
    expect(listed[0]).not.toHaveProperty('secret')

    const dry = await runStele(['keys', 'revoke', service.id, '--dry-run'], { place })
    expect(dry).toMatchObject({ code: 0, stdout: `${service.id}\n` })
    expect(dry.stderr).toContain('Would revoke')
    expect((await runJson<KeyRecord[]>(['keys', 'list', '--user', 'app'], { place }))[0]?.state).toBe(
      'active',
    )
    expect((await runStele(['keys', 'revoke', service.id], { place })).stderr).toMatch(/^Revoked: /)
    expect((await runStele(['keys', 'revoke', service.id], { place })).stderr).toMatch(/^Revoked already/)
    expect((await runJson<KeyRecord[]>(['keys', 'list', '--user', 'app'], { place }))[0]?.state).toBe(
      'revoked',
    )
  })

  test('an unknown key and an empty list are told on stderr', async () => {
    const place = await bed.place()
    await place.stele()
    expect(await runStele(['keys', 'revoke', 'key_x'], { place })).toMatchObject({
      code: 1,
      stdout: '',
      stderr: "stele: There is no API key 'key_x'.\n",
    })
    expect(await runStele(['keys', 'list'], { place })).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'No keys.\n',
    })
    expect(await runJson(['keys', 'list'], { place })).toEqual([])
  })
})

describeEachDatabase('stele users', bed => {
  test('create makes a user once, list pages through them', async () => {
    const place = await bed.place()
    await place.stele()
    const made = await runStele(
      ['users', 'create', 'ada', '--email', 'ada@example.org', '--username', 'Ada', '--role', 'admin'],
      { place },
    )
    expect(made).toMatchObject({ code: 0, stdout: 'ada\n' })
    const again = await runStele(['users', 'create', 'ada'], { place })
    expect(again).toMatchObject({ code: 1, stdout: '', stderr: "stele: The user 'ada' exists already.\n" })
    expect(await runJson(['users', 'create', 'bob'], { place })).toMatchObject({
      id: 'bob',
      role: 'member',
      email: null,
    })

    const table = await runStele(['users', 'list'], { place })
    expect(table.stdout).toMatch(
      /^ID +ROLE +STATUS +USERNAME +EMAIL +CREATED\nada +admin +active +Ada +ada@example.org +\d{4}-/,
    )
    const page = await runStele(['users', 'list', '--limit', '1'], { place })
    expect(page.stdout).not.toContain('bob')
    expect(page.stderr).toContain("--after 'ada'")
    expect(await runJson(['users', 'list', '--after', 'ada'], { place })).toEqual([
      {
        id: 'bob',
        email: null,
        username: null,
        role: 'member',
        status: 'active',
        created_at: expect.stringMatching(/Z$/),
        deleted_at: null,
        preferences: null,
        content_mode: null,
        erased_at: null,
      },
    ])
  })
})

describeEachDatabase('stele access', bed => {
  test('keys are narrowed and rotated, users changed and let in', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const key = await runJson<KeyRecord>(
      ['keys', 'create', '--user', 'ada', '--scope', 'calls:make,models:read'],
      { place },
    )
    expect(key).toMatchObject({ scopes: ['calls:make', 'models:read'] })
    const bad = await runStele(['keys', 'create', '--user', 'ada', '--scope', 'everything'], { place })
    expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining("no scope 'everything'")])
    const rotated = await runStele(['keys', 'rotate', key.id, '--grace', '2h'], { place })
    expect(rotated.stdout).toMatch(/^sk-stele-[\w-]{49}\n$/)
    expect((await stele.apiKeys.holder(rotated.stdout.trim()))?.key.id).toBe(key.id)
    const { validUntil = 0 } = (await stele.apiKeys.holder(key.secret)) ?? {}
    expect(Math.abs(validUntil - Date.now() - 7_200_000)).toBeLessThan(60_000)

    const update = ['users', 'update', 'ada', '--role', 'auditor', '--status', 'suspended']
    expect(await runJson(update, { place })).toMatchObject({ role: 'auditor', status: 'suspended' })
    await runStele(['users', 'update', 'ada', '--status', 'active'], { place })
    const given = await runStele(['users', 'password', 'ada'], { place })
    const times = { idle: 60_000, absolute: 60_000 }
    const login = { name: 'ada', place: 'here', times, newPassword: 'chosen by herself' }
    expect(await stele.logins.logIn({ ...login, password: given.stdout.trim() })).toMatchObject({
      userId: 'ada',
    })
    const piped = await runStele(['users', 'password', 'ada', '--stdin'], {
      place,
      input: 'given by me, piped\n',
    })
    expect([piped.code, piped.stdout]).toEqual([0, ''])
    const next = { ...login, password: 'given by me, piped', newPassword: 'chosen once again' }
    expect(await stele.logins.logIn(next)).toMatchObject({ userId: 'ada' })
    const events = await stele.auditEvents.list({ userId: 'ada', limit: 20 })
    const byOperator = events.filter(({ actor }) => actor.startsWith(`operator:${userInfo().username}`))
    expect(byOperator.map(({ action }) => action).reverse()).toEqual([
      'api_key.created',
      'api_key.rotated',
      'user.role_changed',
      'user.status_changed',
      'user.status_changed',
      'password.changed',
      'password.changed',
    ])
  })

  test('grants are made, listed and revoked', async () => {
    const place = await bed.place()
    const { users } = await place.stele()
    await users.create('ada')
    await users.create('root', { role: 'admin' })
    const create = ['grants', 'create', '--user', 'ada', '--admin', 'root', '--reason', 'she asked for help']
    const made = await runStele(create, { place })
    expect(made.stdout).toMatch(/^grant_\w{26}\n$/)
    const long = await runStele([...create, '--expires', '8w'], { place })
    expect([long.code, long.stderr]).toEqual([2, expect.stringContaining('a day at most')])
    expect((await runStele(['grants', 'list'], { place })).stdout).toContain('she asked for help')
    const id = made.stdout.trim()
    expect((await runStele(['grants', 'revoke', id], { place })).stdout).toBe(made.stdout)
    expect(await runJson(['grants', 'list', '--user', 'ada'], { place })).toEqual([
      expect.objectContaining({ id, holder: 'root', state: 'revoked' }),
    ])
  })

  test('whoever reads what was said on the machine is named on record', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { callId, conversationId = '' } = await stele.saveInteraction({
      userId: 'ada',
      model: 'm',
      messages: [{ role: 'user', content: 'Hello there' }],
      responseText: 'Hi',
    })
    const commands = [
      ['calls', 'show', callId],
      ['calls', 'show', callId, '--request'],
      ['conversations', 'show', conversationId],
      ['conversations', 'list'],
      ['search', 'hello', '--user', 'ada'],
      ['export', '--user', 'ada'],
    ]
    for (const command of [...commands, ['calls', 'list'], ['calls', 'show', callId, '--group']])
      expect((await runStele(command, { place })).code, command.join(' ')).toBe(0)
    const events = (await stele.auditEvents.list({ action: 'content.read', limit: 20 })).reverse()
    expect(events.map(({ details, target, userId }) => [details?.['command'], target, userId])).toEqual([
      ['calls show', callId, 'ada'],
      ['calls show', callId, 'ada'],
      ['conversations show', conversationId, 'ada'],
      ['conversations list', undefined, ''],
      ['search', undefined, 'ada'],
    ])
    const [exported] = await stele.auditEvents.list({ action: 'record.exported', limit: 2 })
    expect(exported).toMatchObject({ userId: 'ada', details: { command: 'export', with_keys: false } })
    for (const { actor } of events) expect(actor).toBe(`operator:${userInfo().username}`)
  })
})
