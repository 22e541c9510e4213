import { chmod, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { describeEachDatabase, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

interface Diagnosis {
  readonly ok: boolean
  readonly findings: readonly { readonly name: string; readonly value: string; readonly ok: boolean }[]
  readonly drift: readonly string[]
}

async function diagnosis(
  ...[args, options]: Parameters<typeof runStele>
): Promise<Diagnosis & { code: number | null }> {
  const { code, stdout } = await runStele([...args, '--json'], options)
  return { code, ...(JSON.parse(stdout) as Diagnosis) }
}

const finding = ({ findings }: Diagnosis, name: string) => findings.find(each => each.name === name)

describeEachDatabase('stele doctor', bed => {
  test('finds nothing wrong with a new database', async () => {
    const place = await bed.place()
    await place.stele()
    const { code, stdout, stderr } = await runStele(['doctor'], { place })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^migrations +yes +all \d+ applied/m)
    expect(stdout).toMatch(/^tables +yes +as expected$/m)
    expect(stdout).toMatch(/^master key +yes +STELE_MASTER_KEY opens this database$/m)
    expect(stdout).not.toContain(place.masterKey)
    expect(await runJson(['doctor'], { place })).toMatchObject({
      ok: true,
      drift: [],
      config: { upstream: 'none' },
    })
  })

  test('shows how the live tables differ from the expected ones', async () => {
    const place = await bed.place()
    const { database } = await place.stele()
    await sql`DROP INDEX messages_anchor`.execute(database.kysely)
    await sql`CREATE TABLE notes (id integer)`.execute(database.kysely)
    const { code, stdout, stderr } = await runStele(['doctor'], { place })
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'stele: Not as it should be: tables\n' })
    expect(stdout).toMatch(/^- .*messages_anchor/m)
    expect(stdout).toMatch(/^\+ .*notes/m)
    expect(await diagnosis(['doctor'], { place })).toMatchObject({
      code: 1,
      ok: false,
      drift: [expect.any(String), expect.any(String)],
    })
  })

  test('tells that migrations are missing, and makes nothing', async () => {
    const place = await bed.place()
    const database = place.database()
    await database.hasTable(database.kysely, 'users')
    const found = await diagnosis(['doctor'], { place })
    expect(found.code).toBe(1)
    expect(finding(found, 'migrations')).toMatchObject({
      ok: false,
      value: expect.stringContaining('run: stele migrate up'),
    })
    expect(await database.hasTable(database.kysely, 'users')).toBe(false)
  })

  test('tells that the master key is another one', async () => {
    const place = await bed.place()
    await place.stele()
    const found = await diagnosis(['doctor'], {
      place,
      env: { STELE_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') },
    })
    expect(found).toMatchObject({ code: 1, ok: false })
    expect(finding(found, 'master key')).toMatchObject({
      ok: false,
      value: expect.stringContaining('not the key'),
    })
  })
})

test('a database that is not there is told and not made', async () => {
  const cwd = await temporaryFolder()
  const found = await diagnosis(['doctor'], { cwd })
  expect(found.code).toBe(1)
  expect(finding(found, 'connection')).toMatchObject({
    ok: false,
    value: expect.stringContaining('stele migrate up'),
  })
  expect(await readdir(cwd)).toEqual([])
})

test('a key file that is missing is told and not made anew', async () => {
  const place = await sqlitePlace()
  await place.stele()
  const found = await diagnosis(['doctor'], { env: { DATABASE_URL: place.databaseUrl } })
  expect(finding(found, 'master key')).toMatchObject({
    ok: false,
    value: expect.stringContaining('is missing'),
  })
  expect(await diagnosis(['doctor'], { env: { DATABASE_URL: place.databaseUrl } })).toMatchObject({
    findings: found.findings,
  })
})

test.skipIf(process.platform === 'win32')('a key file that others can read is told', async () => {
  const cwd = await temporaryFolder()
  await runStele(['migrate', 'up', '--database', 'sqlite:stele.db'], { cwd })
  await writeFile(join(cwd, 'master.key'), Buffer.alloc(32).toString('base64'))
  await chmod(join(cwd, 'master.key'), 0o644)
  const found = await diagnosis(['doctor', '--database', 'sqlite:stele.db'], { cwd })
  expect(finding(found, 'master key')).toMatchObject({
    ok: false,
    value: expect.stringContaining('chmod 600'),
  })
})

test('a server that is not there is told without anything secret', async () => {
  const env = {
    DATABASE_URL: 'postgres://u:sekret1@127.0.0.1:1/x',
    OPENAI_BASE_URL: 'https://example.org/v1?key=sekret3',
    OPENAI_API_KEY: 'sekret4',
    STELE_API_KEY: 'sekret5-and-longer',
    STELE_MASTER_KEY: Buffer.from('sekret6'.padEnd(32)).toString('base64'),
  }
  for (const args of [['doctor'], ['doctor', '--json']]) {
    const { code, stdout, stderr } = await runStele(args, { env })
    expect(code).toBe(1)
    expect(stdout).toContain('ECONNREFUSED')
    expect(stdout).toContain('https://example.org/v1')
    expect(stdout + stderr).not.toContain('sekret')
    expect(stdout).not.toContain(env.STELE_MASTER_KEY)
  }
})
