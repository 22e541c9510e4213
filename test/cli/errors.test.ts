import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { describeEachDatabase, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { runStele } from './run-stele.ts'

/** Commands that need a database, one of each way to open it. */
const readers = [
  ['calls', 'list'],
  ['keys', 'create', '--user', 'ada'],
  ['migrate', 'current'],
]

async function unusable(args: readonly string[], databaseUrl: string, cwd?: string): Promise<string> {
  const { code, stdout, stderr } = await runStele(args, {
    env: { DATABASE_URL: databaseUrl },
    ...(cwd === undefined ? {} : { cwd }),
  })
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(/^stele: [^\n]+\n$/)
  return stderr
}

test.each(readers)('%s %s: a URL of another kind of database is refused', async (...args) => {
  expect(await unusable(args, 'mysql://u:sekret@localhost/x')).toContain(
    "the scheme 'mysql' is not supported",
  )
})

test.each(readers)('%s %s: a file that is no database is told', async (...args) => {
  const folder = await temporaryFolder()
  await writeFile(join(folder, 'notes.txt'), 'nothing but words, and enough of them to be read as a header')
  expect(await unusable(args, 'sqlite:notes.txt', folder)).toContain(
    'The database ./notes.txt is damaged: it is not a SQLite database. Nothing was changed.',
  )
})

test.each(readers)('%s %s: a database that is not there is not made', async (...args) => {
  const folder = await temporaryFolder()
  expect(await unusable(args, 'sqlite:data/stele.db', folder)).toBe(
    'stele: There is no database at ./data/stele.db yet. Run: stele migrate up\n',
  )
  expect(await readdir(folder)).toEqual([])
})

test.each(readers)('%s %s: a server that is not there is told without the password', async (...args) => {
  const said = await unusable(args, 'postgres://u:sekret@localhost:1/x')
  expect(said).toContain('ECONNREFUSED')
  expect(said).not.toContain('sekret')
})

test.each(readers)('%s %s: a wrong password is told without the password', async (...args) => {
  const url = new URL(inject('postgresUrl'))
  url.username = 'nobody'
  url.password = 'sekret'
  const said = await unusable(args, url.href)
  expect(said).toContain('The database is unavailable')
  expect(said).toContain('nobody')
  expect(said).not.toContain('sekret')
})

test.each(readers)('%s %s: a database name that the server does not know is told', async (...args) => {
  const url = new URL(inject('postgresUrl'))
  url.pathname = '/nowhere'
  expect(await unusable(args, url.href)).toContain('database "nowhere" does not exist')
})

test('a place where no file can be made is told', async () => {
  const folder = await temporaryFolder()
  await mkdir(join(folder, 'taken'))
  await writeFile(join(folder, 'file'), '')
  expect(await unusable(['migrate', 'up'], 'sqlite:taken', folder)).toContain(
    './taken cannot be opened for writing: it is a folder',
  )
  expect(await unusable(['migrate', 'up'], 'sqlite:file/stele.db', folder)).toContain(
    './file/stele.db cannot be opened for writing: a file stands in the way to',
  )
})

describeEachDatabase('a database without tables', bed => {
  test('is told with what makes them', async () => {
    const place = await bed.place()
    await place.database().hasTable(place.database().kysely, 'users')
    const { code, stdout, stderr } = await runStele(['calls', 'list'], { place })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe('stele: The database has no Stele schema or an older one. Run: stele migrate up\n')
  })
})

test('every problem of the configuration is named in a line of its own, without its value', async () => {
  const env = { PORT: 'sekret', DB_POOL_SIZE: '0' }
  const { code, stderr } = await runStele(['calls', 'list'], { env })
  expect(code).toBe(1)
  expect(stderr).toContain('(PORT)')
  expect(stderr).toContain('(DB_POOL_SIZE)')
  expect(stderr.trimEnd().split('\n')).toHaveLength(3)
  expect(stderr).not.toContain('sekret')
})

test('the wrong master key is told', async () => {
  const place = await sqlitePlace()
  await place.stele()
  const env = { STELE_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') }
  const { code, stderr } = await runStele(['users', 'list'], { place, env })
  expect(code).toBe(1)
  expect(stderr).toBe('stele: The master key is not the one this database was made with.\n')
})

test('LOG_LEVEL=debug adds the stack and its causes', async () => {
  const env = { DATABASE_URL: 'postgres://u:sekret@127.0.0.1:1/x', LOG_LEVEL: 'debug' }
  const { code, stderr } = await runStele(['calls', 'list'], { env })
  expect(code).toBe(1)
  expect(stderr).toMatch(/^ {4}at /m)
  expect(stderr).toContain('caused by')
  expect(stderr).not.toContain('sekret')
})

test('serve tells that it cannot listen', async () => {
  const place = await sqlitePlace()
  const { code, stdout, stderr } = await runStele(['serve', '--host', '203.0.113.1', '--port', '0'], {
    place,
  })
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain('stele: Cannot listen on 203.0.113.1:0')
})
