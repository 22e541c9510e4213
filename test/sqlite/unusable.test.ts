import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { openStele } from '../../src/stele.ts'
import { runStele } from '../cli/run-stele.ts'
import { exchange, user } from '../harness/chat.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { packed } from '../harness/packed.ts'

const pageBytes = 4096
const name = 'stele.db'

/** A folder with a store that was used and closed. */
async function usedStore(): Promise<string> {
  const folder = await temporaryFolder()
  const stele = await openStele({ databaseUrl: `sqlite:${join(folder, name)}` })
  for (let index = 0; index < 40; index++)
    await exchange(stele, [user(`question ${index} ${randomBytes(2_000).toString('base64')}`)], 'answer')
  await stele.close()
  return folder
}

/** The same as a process leaves it that was killed: the newest commits stand in the log alone. */
async function killedStore(): Promise<string> {
  const [folder, copy] = [await temporaryFolder(), await temporaryFolder()]
  const stele = await openStele({ databaseUrl: `sqlite:${join(folder, name)}` })
  for (let index = 0; index < 20; index++) await exchange(stele, [user(`question ${index}`)], 'answer')
  for (const file of [name, `${name}-wal`, 'master.key']) copyFileSync(join(folder, file), join(copy, file))
  await stele.close()
  return copy
}

/** Everything in the folder, byte for byte. */
function contentOf(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder).map(file => {
      const path = join(folder, file)
      return [file, statSync(path).isDirectory() ? 'folder' : readFileSync(path).toString('base64')]
    }),
  )
}

function overwrite(path: string, at: number, bytes: Uint8Array): void {
  const content = readFileSync(path)
  content.set(bytes, at)
  writeFileSync(path, content)
}

function foreignDatabase(path: string, journal: string): void {
  const database = new DatabaseSync(path)
  database.exec(
    `PRAGMA journal_mode = ${journal}; CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')`,
  )
  database.close()
}

const damage: [what: string, make: () => Promise<string>, said: RegExp][] = [
  [
    'a text',
    async () => {
      const folder = await temporaryFolder()
      writeFileSync(
        join(folder, name),
        'nothing but words, and enough of them to be read as a header. '.repeat(100),
      )
      return folder
    },
    /is damaged: it is not a SQLite database\. Nothing was changed\. Restore a backup/,
  ],
  [
    'a file whose first page is garbage',
    async () => {
      const folder = await usedStore()
      overwrite(join(folder, name), 0, randomBytes(pageBytes))
      return folder
    },
    /is damaged: it is not a SQLite database/,
  ],
  [
    'a file of no bytes',
    async () => {
      const folder = await usedStore()
      truncateSync(join(folder, name), 0)
      return folder
    },
    /is damaged: it is empty/,
  ],
  [
    'a file cut in half',
    async () => {
      const folder = await usedStore()
      truncateSync(
        join(folder, name),
        Math.floor(statSync(join(folder, name)).size / pageBytes / 2) * pageBytes,
      )
      return folder
    },
    /is damaged: of its \d+ bytes \d+ are missing/,
  ],
  [
    'a file cut within its last page',
    async () => {
      const folder = await usedStore()
      truncateSync(join(folder, name), statSync(join(folder, name)).size - 1_000)
      return folder
    },
    /is damaged: of its \d+ bytes 1000 are missing/,
  ],
  [
    'a page of garbage in the middle',
    async () => {
      const folder = await usedStore()
      const pages = statSync(join(folder, name)).size / pageBytes
      // Behind the pages that the tables' definitions are on: what was said.
      overwrite(join(folder, name), Math.floor(pages * 0.8) * pageBytes, randomBytes(pageBytes))
      return folder
    },
    // Whichever page that is: one of the schema's, or of a table's.
    /is damaged: (its pages are not in order|database disk image is malformed|it is not a whole SQLite database)/,
  ],
  [
    'a log of garbage',
    async () => {
      const folder = await killedStore()
      writeFileSync(join(folder, `${name}-wal`), randomBytes(100_000))
      return folder
    },
    /is damaged: its write-ahead log does not begin as one/,
  ],
  [
    'garbage in the middle of the log, with commits after it',
    async () => {
      const folder = await killedStore()
      const log = join(folder, `${name}-wal`)
      overwrite(log, Math.floor(statSync(log).size / 3), randomBytes(500))
      return folder
    },
    /is damaged: its write-ahead log is damaged in the middle, with \d+ commits after that place/,
  ],
  [
    "another program's database",
    async () => {
      const folder = await temporaryFolder()
      foreignDatabase(join(folder, name), 'DELETE')
      return folder
    },
    /belongs to another program: it has the tables notes\. Nothing was changed\. Name another file\./,
  ],
  [
    "another program's database with a write-ahead log",
    async () => {
      const folder = await temporaryFolder()
      foreignDatabase(join(folder, name), 'WAL')
      return folder
    },
    /belongs to another program: it has the tables notes/,
  ],
  [
    'a folder',
    async () => {
      const folder = await temporaryFolder()
      mkdirSync(join(folder, name))
      return folder
    },
    /cannot be opened for writing: it is a folder/,
  ],
]

test.each(damage)(
  '%s in the place of the database is told in one line, and nothing is changed',
  {
    timeout: 40_000,
  },
  async (_, make, said) => {
    const folder = await make()
    const before = contentOf(folder)
    const run = (...command: string[]) =>
      runStele([...command, '--database', `sqlite:${name}`], { cwd: folder })
    const [doctor, ...others] = await Promise.all([
      run('doctor'),
      run('serve', '--port', '0'),
      run('migrate', 'up'),
    ])
    expect(contentOf(folder)).toEqual(before)
    expect(doctor).toMatchObject({ code: 1, stdout: expect.stringMatching(/ NO /) })
    for (const { code, stdout, stderr } of others) {
      expect({ code, stdout, stderr }).toEqual({
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(/^stele: [^\n]+\n$/),
      })
      expect(stderr).toMatch(said)
    }
  },
)

test('doctor tells of a damaged file what can be told without opening it', async () => {
  const folder = await killedStore()
  writeFileSync(join(folder, `${name}-wal`), randomBytes(100_000))
  const { stdout } = await runStele(['doctor', '--database', `sqlite:${name}`], { cwd: folder })
  expect(stdout).toMatch(/^file +yes +\d+ bytes, owner \d+, mode 600$/m)
  expect(stdout).toMatch(/^file header +yes +\d+ pages of 4096 bytes$/m)
  expect(stdout).toMatch(/^write-ahead log +NO +its write-ahead log does not begin as one$/m)
})

test('a log whose end is torn, as a crash leaves it, is taken up to its last whole commit', async () => {
  const folder = await killedStore()
  const log = join(folder, `${name}-wal`)
  truncateSync(log, statSync(log).size - 100)
  const stele = await openStele({ databaseUrl: `sqlite:${join(folder, name)}` })
  await stele.recorder.start()
  const statuses = (await stele.calls.list()).map(({ status }) => status)
  expect(statuses.length).toBeGreaterThanOrEqual(19)
  expect(statuses.slice(1).every(status => status === 'completed')).toBe(true)
  await stele.close()
})

test('a store that was copied as SQL text is known as one of Stele', async () => {
  const folder = await usedStore()
  const path = join(folder, name)
  const database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode = DELETE; PRAGMA application_id = 0')
  database.close()
  const stele = await openStele({ databaseUrl: `sqlite:${path}` })
  expect(await stele.calls.list()).toHaveLength(40)
  await stele.close()
})

/** Whoever may do everything is not kept from anything by a mode: then another user runs the program. */
const nobody = process.getuid?.() === 0 ? 65_534 : undefined
const canRunAsNobody =
  process.platform !== 'win32' &&
  (nobody === undefined ||
    spawnSync(process.execPath, [packed('src/cli/main.ts').file, '--version'], {
      uid: nobody,
      gid: nobody,
      cwd: '/',
    }).status === 0)

const forbidden: [what: string, file: number, folder: number, said: RegExp][] = [
  ['a file that may only be read', 0o444, 0o777, /this user may not write to stele\.db/],
  ["somebody else's file", 0o000, 0o777, /this user may not write to stele\.db/],
  ['a folder that may only be read', 0o666, 0o555, /this user may not write to \./],
]

test.skipIf(!canRunAsNobody).each(forbidden)(
  '%s is told, and nothing is changed (skipped where an ordinary user cannot read the program)',
  { timeout: 40_000 },
  async (_, fileMode, folderMode, said) => {
    const folder = await usedStore()
    const before = contentOf(folder)
    chmodSync(join(folder, 'master.key'), 0o644)
    chmodSync(join(folder, name), fileMode)
    chmodSync(folder, folderMode)
    const { code, stdout, stderr } = await runStele(
      ['serve', '--port', '0', '--database', `sqlite:${name}`],
      {
        cwd: folder,
        uid: nobody,
      },
    )
    chmodSync(folder, 0o755)
    chmodSync(join(folder, name), 0o644)
    expect({ code, stdout, after: contentOf(folder) }).toEqual({ code: 1, stdout: '', after: before })
    expect(stderr).toMatch(/^stele: The database \.\/stele\.db cannot be opened for writing: [^\n]+\n$/)
    expect(stderr).toMatch(said)
  },
)

test.skipIf(!canRunAsNobody)('a folder in which no file may be made is told', async () => {
  const folder = await temporaryFolder()
  chmodSync(folder, 0o555)
  const { code, stderr } = await runStele(['serve', '--port', '0', '--database', `sqlite:${name}`], {
    cwd: folder,
    uid: nobody,
  })
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr:
      'stele: The database ./stele.db cannot be opened for writing: this user may not write to stele.db\n',
  })
})
