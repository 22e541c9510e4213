import { expect, test } from 'vitest'
import { placeOf } from '../../src/access/attempts.ts'
import { passwordHasher } from '../../src/access/passwords.ts'
import type { Stele } from '../../src/stele.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { rowsOf } from '../harness/rows.ts'

const times = { idle: 60_000, absolute: 3_600_000 }
const password = 'a long enough secret'
const place = placeOf('192.0.2.1')
const elsewhere = placeOf('198.51.100.7')

async function withAda(bed: Bed): Promise<Stele> {
  const stele = await (await bed.place()).stele()
  await stele.logins.createAccount({ userId: 'ada', email: 'ada@example.org', password }, { userId: 'ada' })
  return stele
}

function logIn(
  stele: Stele,
  more: { name?: string; password?: string; newPassword?: string; place?: string } = {},
) {
  return stele.logins.logIn({ name: 'ada', password, place, times, ...more })
}

async function actionsOf(stele: Stele): Promise<string[]> {
  return (await rowsOf(stele, 'audit_events')).map(({ action }) => action)
}

/** Logins, their delays, rotation of keys, grants. */
export function loginsSuite(bed: Bed): void {
  test('a login begins a session that its token finds; password and token are stored nowhere', async () => {
    const stele = await withAda(bed)
    const { token, ...session } = await logIn(stele)
    expect(token).toMatch(/^ss-stele-[\w-]{49}$/)
    const holder = await stele.logins.sessions.holder(token, times, Date.now())
    expect(holder).toMatchObject({
      session: { id: session.id, userId: 'ada' },
      role: 'member',
      isActive: true,
    })
    const stored = JSON.stringify([
      await rowsOf(stele, 'user_passwords'),
      await rowsOf(stele, 'login_sessions'),
      await rowsOf(stele, 'audit_events'),
    ])
    expect(stored).toContain('$argon2id$v=19$m=19456,t=2,p=1$')
    for (const secret of [password, token, token.slice(9)]) expect(stored).not.toContain(secret)
    expect(await actionsOf(stele)).toEqual(['user.created', 'password.changed', 'login.succeeded'])
  })

  test('an e-mail address is as good as an id, and stays whose it was first', async () => {
    const stele = await withAda(bed)
    expect(await logIn(stele, { name: 'ada@example.org' })).toMatchObject({ userId: 'ada' })
    const eve = { userId: 'eve', email: 'ada@example.org', password: 'another long secret' }
    await stele.logins.createAccount(eve, { userId: 'eve' })
    expect(await logIn(stele, { name: 'ada@example.org' })).toMatchObject({ userId: 'ada' })
    await failure('login_failed', logIn(stele, { name: 'ada@example.org', password: eve.password }))
    // Whoever is called like her address is somebody else.
    await stele.users.create('ada@example.org')
    await failure('login_failed', logIn(stele, { name: 'ada@example.org' }))
    expect(await logIn(stele)).toMatchObject({ userId: 'ada' })
  })

  test('whoever has no password, is not there or is suspended is refused alike', async () => {
    const stele = await withAda(bed)
    await stele.users.create('bob')
    await stele.users.setStanding('ada', { status: 'suspended' })
    for (const name of ['bob', 'nobody', 'ada', '']) await failure('login_failed', logIn(stele, { name }))
    const events = (await rowsOf(stele, 'audit_events')).filter(({ action }) => action === 'login.failed')
    expect(events.map(({ user_id, outcome }) => `${user_id} ${outcome}`).sort()).toEqual([
      ' failure',
      ' failure',
      'ada failure',
      'bob failure',
    ])
  })

  test('a session ends when it is ended, when nobody uses it and when its time is up', async () => {
    const stele = await withAda(bed)
    const { sessions } = stele.logins
    const [one, two] = [await logIn(stele), await logIn(stele)]
    const now = one.lastSeenAt
    expect(await sessions.holder(one.token, times, now + times.idle - 1)).toBeDefined()
    expect(await sessions.holder(one.token, times, now + times.idle)).toBeUndefined()
    expect(await sessions.holder(one.token, { ...times, idle: 1e12 }, one.expiresAt)).toBeUndefined()
    await sessions.seen(one, times, now + 30_000)
    expect(await sessions.holder(one.token, times, now + times.idle + 1)).toBeDefined()
    expect(await stele.logins.logOut('ada', one.id)).toBe(1)
    expect(await sessions.holder(one.token, times, now)).toBeUndefined()
    expect(await stele.logins.logOut('eve', undefined)).toBe(0)
    expect(await sessions.holder(two.token, times, now)).toBeDefined()
    expect(await stele.logins.logOut('ada', undefined)).toBe(1)
    expect(await sessions.holder(two.token, times, now)).toBeUndefined()
  })

  test('what nobody uses any more is forgotten', async () => {
    const stele = await withAda(bed)
    await logIn(stele)
    await failure('login_failed', logIn(stele, { password: 'not this one, surely' }))
    await stele.logins.forgetOld(Date.now())
    expect([
      (await rowsOf(stele, 'login_sessions')).length,
      (await rowsOf(stele, 'login_attempts')).length,
    ]).not.toContain(0)
    await stele.logins.forgetOld(Date.now() + 40 * 86_400_000)
    expect([await rowsOf(stele, 'login_sessions'), await rowsOf(stele, 'login_attempts')]).toEqual([[], []])
  })

  test('changing a password takes the old one, and ends every other session', async () => {
    const stele = await withAda(bed)
    const [kept, other] = [await logIn(stele), await logIn(stele)]
    const change = { userId: 'ada', next: 'another long secret', place, session: kept.id }
    await failure('login_failed', stele.logins.changePassword({ ...change, current: 'not this one, surely' }))
    await failure(
      'invalid_value',
      stele.logins.changePassword({ ...change, current: password, next: 'short' }),
    )
    await failure(
      'invalid_value',
      stele.logins.changePassword({ ...change, current: password, next: password }),
    )
    await stele.logins.changePassword({ ...change, current: password })
    expect(await stele.logins.sessions.holder(kept.token, times, Date.now())).toBeDefined()
    expect(await stele.logins.sessions.holder(other.token, times, Date.now())).toBeUndefined()
    await failure('login_failed', logIn(stele))
    expect(await logIn(stele, { password: change.next })).toMatchObject({ userId: 'ada' })
  })

  test('a password that is changed, or a user who is suspended, while it is compared lets nobody in', async () => {
    const stele = await withAda(bed)
    const { kysely } = stele.database
    const setHash = (hash: string) => kysely.updateTable('user_passwords').set({ hash }).execute()
    // Between the look at the hash and the session: comparing this one takes longer than these by far, eight times as
    // long as one that the store makes.
    const slow = await passwordHasher({ memory: 19_456, passes: 16, parallelism: 1 }).hash(password)
    const meanwhile: (() => Promise<unknown>)[] = [
      () => stele.users.setStanding('ada', { status: 'suspended' }),
      () => setHash('of another password'),
    ]
    for (const change of meanwhile) {
      await setHash(slow)
      const begun = logIn(stele)
      const outcome = begun.then(
        () => 'let in',
        error => error.code,
      )
      await expect
        .poll(async () => (await rowsOf(stele, 'login_attempts')).length, { interval: 1 })
        .toBeGreaterThan(0)
      await change()
      expect(await outcome).toBe('login_failed')
      expect(await rowsOf(stele, 'login_sessions')).toEqual([])
      await stele.users.setStanding('ada', { status: 'active' })
      await kysely.deleteFrom('login_attempts').execute()
    }
    await setHash(slow)
    expect(await logIn(stele)).toMatchObject({ userId: 'ada' })
  })

  test('whoever is sent away because too many try to log in has not tried', async () => {
    const stele = await withAda(bed)
    const guess = (index: number) =>
      logIn(stele, { name: `nobody-${index}`, place: placeOf(`192.0.2.${index}`) }).catch(({ code }) => code)
    const codes = await Promise.all(Array.from({ length: 160 }, (_, index) => guess(index)))
    const refused = codes.filter(code => code === 'login_busy').length
    expect(refused).toBeGreaterThan(0)
    const counted = (await rowsOf(stele, 'login_attempts')).filter(({ subject }) =>
      subject.startsWith('address:'),
    )
    const failures = counted.reduce((sum, { failures }) => sum + failures, 0)
    expect(failures).toBe(codes.length - refused)
  })

  test('a password that somebody else gave is only good for choosing another', async () => {
    const stele = await withAda(bed)
    const before = await logIn(stele)
    await stele.logins.resetPassword('ada', 'given by the operator')
    expect(await stele.logins.sessions.holder(before.token, times, Date.now())).toBeUndefined()
    const given = { password: 'given by the operator' }
    await failure('password_change_required', logIn(stele, given))
    await failure('invalid_value', logIn(stele, { ...given, newPassword: given.password }))
    expect(await logIn(stele, { ...given, newPassword: 'chosen by herself' })).toMatchObject({
      userId: 'ada',
    })
    expect(await logIn(stele, { password: 'chosen by herself' })).toMatchObject({ userId: 'ada' })
  })

  test('a hash with other parameters still works, and is made anew', async () => {
    const stele = await withAda(bed)
    // Argon2id of `password` with 8 KiB and one pass.
    const { argon2Sync } = await import('node:crypto')
    const nonce = Buffer.alloc(16, 7)
    const tag = argon2Sync('argon2id', {
      message: password,
      nonce,
      memory: 8,
      passes: 1,
      parallelism: 1,
      tagLength: 32,
    })
    const text = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
    const hash = `$argon2id$v=19$m=8,t=1,p=1$${text(nonce)}$${text(tag)}`
    await stele.database.kysely.updateTable('user_passwords').set({ hash }).execute()
    await logIn(stele)
    expect((await rowsOf(stele, 'user_passwords'))[0]?.hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    await logIn(stele)
  })

  test('guesses are delayed, also many at once; a person elsewhere is not kept out by them', async () => {
    const stele = await withAda(bed)
    await logIn(stele)
    const guess = () =>
      logIn(stele, { password: 'not this one, surely', place: elsewhere }).catch(error => error.code)
    expect(await guess()).toBe('login_failed')
    const attempts = stele.database.kysely.updateTable('login_attempts').where('subject', '=', 'user:ada')
    await attempts.set({ failures: 10 }).execute()
    // The first of them is tried, and keeps the others waiting for half a minute.
    const codes = await Promise.all(Array.from({ length: 12 }, guess))
    expect(codes.toSorted()).toEqual(['login_failed', ...Array(11).fill('too_many_attempts')])
    const error = await failure('too_many_attempts', logIn(stele, { place: elsewhere }))
    expect(error.details['seconds']).toBeGreaterThan(0)
    expect(error.details['seconds']).toBeLessThanOrEqual(32)
    // She has logged in from here before.
    expect(await logIn(stele)).toMatchObject({ userId: 'ada' })
    expect(await actionsOf(stele)).toContain('login.delayed')
    // From elsewhere the right password is let in when the delay is over, and forgets what was before.
    await attempts.set({ blocked_until: 0 }).execute()
    expect(await logIn(stele, { place: elsewhere })).toMatchObject({ userId: 'ada' })
    expect((await rowsOf(stele, 'login_attempts')).filter(({ subject }) => subject === 'user:ada')).toEqual(
      [],
    )
  })

  test('names that there are not fill no table', async () => {
    const stele = await withAda(bed)
    for (let index = 0; index < 6; index++)
      await failure(
        'login_failed',
        logIn(stele, { name: `nobody-${index}`, place: placeOf(`192.0.2.${index}`) }),
      )
    const subjects = (await rowsOf(stele, 'login_attempts')).map(({ subject }) => subject)
    for (const subject of subjects) expect(subject).toMatch(/^(address|name):[0-9a-f]{4}$/)
  })

  test('a rotated key has two secrets for a while, and never three', async () => {
    const stele = await (await bed.place()).stele()
    const { apiKeys } = stele
    const first = await apiKeys.create({ userId: 'ada', scopes: ['calls:make'] })
    const second = await apiKeys.rotate(first.id, { grace: 60_000 })
    expect(second).toMatchObject({ id: first.id, scopes: ['calls:make'] })
    expect(second.secret).not.toBe(first.secret)
    const old = await apiKeys.holder(first.secret)
    expect(old?.key.id).toBe(first.id)
    expect(old?.validUntil).toBe(second.previousExpiresAt)
    expect((await apiKeys.holder(second.secret))?.validUntil).toBeUndefined()
    const third = await apiKeys.rotate(first.id, { grace: 0 })
    expect(await apiKeys.holder(first.secret)).toBeUndefined()
    expect((await apiKeys.holder(second.secret))?.validUntil).toBeLessThanOrEqual(Date.now())
    await apiKeys.revoke(first.id)
    for (const { secret } of [first, second, third]) expect(await apiKeys.holder(secret)).toBeUndefined()
    await failure('invalid_value', apiKeys.rotate(first.id, { grace: 0 }))
    await failure('api_key_not_found', apiKeys.rotate('key_x', { grace: 0 }))
    const events = await actionsOf(stele)
    expect(events).toEqual(['api_key.created', 'api_key.rotated', 'api_key.rotated', 'api_key.revoked'])
  })

  test('a key of a role gives its user that role, when the operator makes it; a user called operator is none', async () => {
    const stele = await (await bed.place()).stele()
    await stele.apiKeys.create({ userId: 'app', scopes: ['service'] })
    expect(await stele.users.get('app')).toMatchObject({ role: 'service' })
    await stele.apiKeys.create({ userId: 'app' })
    expect(await stele.users.get('app')).toMatchObject({ role: 'service' })
    await stele.apiKeys.create({ userId: 'operator', scopes: ['admin'], by: { userId: 'operator' } })
    expect(await stele.users.get('operator')).toMatchObject({ role: 'member' })
    const events = await rowsOf(stele, 'audit_events')
    expect(events.map(({ actor, action, user_id }) => [actor, action, user_id])).toEqual([
      ['operator', 'user.role_changed', 'app'],
      ['operator', 'api_key.created', 'app'],
      ['operator', 'api_key.created', 'app'],
      ['user:operator', 'api_key.created', 'operator'],
    ])
  })

  test('whether somebody is let in is changed once, and told', async () => {
    const stele = await (await bed.place()).stele()
    await stele.users.create('ada')
    await stele.users.setStanding('ada', { role: 'auditor' })
    await stele.users.setStanding('ada', { role: 'auditor', status: 'active' })
    await failure('user_not_found', stele.users.setStanding('bob', { role: 'admin' }))
    const events = await rowsOf(stele, 'audit_events')
    expect(events.map(({ action, details }) => [action, JSON.parse(details ?? '{}')])).toEqual([
      ['user.created', { role: 'member' }],
      ['user.role_changed', { from: 'member', to: 'auditor' }],
    ])
  })

  test('a grant is for an administrator, one user, a reason and a while', async () => {
    const stele = await withAda(bed)
    const { grants } = stele
    await stele.users.create('root', { role: 'admin' })
    const good = {
      userId: 'ada',
      holder: 'root',
      reason: 'she asked for help',
      expiresAt: Date.now() + 60_000,
    }
    await failure('invalid_value', grants.create({ ...good, reason: '   why   ' }))
    await failure('invalid_value', grants.create({ ...good, expiresAt: Date.now() - 1 }))
    await failure('invalid_value', grants.create({ ...good, expiresAt: Date.now() + 90_000_000 }))
    await failure('invalid_value', grants.create({ ...good, holder: 'ada', userId: 'root' }))
    await failure('invalid_value', grants.create({ ...good, userId: 'root' }))
    await failure('user_not_found', grants.create({ ...good, userId: 'nobody' }))
    expect(await grants.use('root', 'ada', 'GET /x')).toBeUndefined()
    const grant = await grants.create(good)
    expect(await grants.use('root', 'ada', 'GET /x')).toEqual(grant)
    expect(await grants.use('ada', 'root', 'GET /x')).toBeUndefined()
    expect(await grants.list({ holder: 'root', limit: 10 })).toEqual([grant])
    expect(await grants.list({ userId: 'root', limit: 10 })).toEqual([])
    const revoked = await grants.revoke(grant.id)
    expect(await grants.revoke(grant.id)).toEqual(revoked)
    expect(await grants.use('root', 'ada', 'GET /x')).toBeUndefined()
    await failure('grant_not_found', grants.revoke('grant_x'))
    const events = (await rowsOf(stele, 'audit_events')).filter(({ action }) =>
      action.startsWith('break_glass'),
    )
    expect(events.map(({ action, user_id, target }) => [action, user_id, target])).toEqual([
      ['break_glass.granted', 'ada', grant.id],
      ['break_glass.used', 'ada', grant.id],
      ['break_glass.revoked', 'ada', grant.id],
    ])
  })
}
