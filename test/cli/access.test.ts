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
    expect(made.stdout).toMatch(/^sk-stele-[\w-]{43}\n$/)
    expect(made.stderr).not.toContain(made.stdout.trim())
    const key = await stele.apiKeys.findBySecret(made.stdout.trim())
    expect(key).toMatchObject({ userId: 'ada', name: 'laptop', scopes: ['member'] })
    expect((key?.expiresAt ?? 0) - (key?.createdAt ?? 0)).toBeLessThanOrEqual(30 * 86_400_000)
    expect(made.stderr).toContain(key?.id)
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
      },
    ])
  })
})
