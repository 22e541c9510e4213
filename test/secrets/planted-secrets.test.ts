import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { expect, onTestFinished, test } from 'vitest'
import { derivedTables, tableNames } from '../../src/db/tables.ts'
import type { Stele } from '../../src/stele.ts'
import { startGateway } from '../gateway/running.ts'
import { startPostgresServer } from '../harness/postgres-server.ts'
import { chat, response } from './bodies.ts'
import { beRefused, failAtProvider, leaveOpen, sayUnkept } from './failures.ts'
import { belongings, recipes } from './recipes.ts'
import { bodyLimit, type Mode, type Scene, setScene, users } from './scene.ts'
import { type Finding, told } from './search-bytes.ts'
import { beyond, exported, filesBelow, inFiles, leaksInRows, readable } from './stored.ts'
import { tapLink } from './tapped-link.ts'

/**
 * What is said is found in no byte that Stele writes, but where its mode says so. Marked things are said on every route, in
 * every place that has room for words, in every mode, and whatever goes wrong; then every file, row and log line is searched.
 */

const modes = Object.keys(users) as Mode[]

/** What files of a database may hold: the content of those who have it kept plain, and what is plain for everybody. */
const plainInFiles = ['plain', 'label', 'model'] as const

test('every route has a recipe, and every recipe a route', async () => {
  const { gateway } = await startGateway()
  const routes = [...gateway.routes].flatMap(([url, methods]) =>
    [...methods].filter(method => method !== 'HEAD').map(method => `${method} ${url}`),
  )
  expect(routes.sort()).toEqual(Object.keys(recipes).sort())
})

async function sayEverything(scene: Scene): Promise<void> {
  const speakers = modes.map(mode => scene.speaker(mode))
  await Promise.all(
    speakers.map(async s => {
      const own = await belongings(s, scene.adminKey)
      for (const [route, recipe] of Object.entries(recipes))
        await recipe(s, own).catch(cause => {
          throw new Error(`${s.kind}: ${route}`, { cause })
        })
    }),
  )
  await Promise.all(speakers.map(failAtProvider))
  await Promise.all([scene.speaker('encrypted', 'unkept'), scene.speaker('plain', 'unkept')].map(sayUnkept))
  const { address } = scene
  await Promise.all(speakers.map(s => beRefused(s, Object.keys(recipes), { address: address(), bodyLimit })))
}

/** Leaves calls open and waits until the provider has them. */
async function leaveOpenIn(scene: Scene): Promise<{ readonly over: Promise<unknown> }> {
  const { upstream } = scene
  const before = upstream.journal.length
  const open = modes.map(mode => leaveOpen(scene.speaker(mode)))
  await expect.poll(() => upstream.journal.length).toBeGreaterThanOrEqual(before + open.length * 5)
  return { over: Promise.all(open.map(({ over }) => over)) }
}

function expectNothingIn(scene: Scene, files: readonly string[]): void {
  const { stdout, stderr } = scene.said()
  const leaks = [
    ...beyond(inFiles(scene.search, files), plainInFiles),
    ...beyond(scene.search.inFile('stdout', Buffer.from(stdout)), []),
    ...beyond(scene.search.inFile('stderr', Buffer.from(stderr)), ['model']),
  ]
  expect(told(leaks)).toEqual([])
}

/** What nobody can read with all keys in hand, and what the operator can. */
async function expectKept(scene: Scene): Promise<Stele> {
  const stele = await scene.open()
  const { search } = scene
  const tables = [...tableNames, ...derivedTables]
  expect(told(await leaksInRows(stele, search, { tables, plainUser: users.plain }))).toEqual([])
  expectAllButUnkept(await readable(stele, search))
  return stele
}

/** What shows everything that is kept shows nothing more, and no less: what is searched for is there to be found. */
function expectAllButUnkept(found: readonly Finding[]): void {
  expect(told(beyond(found, ['encrypted', ...plainInFiles]))).toEqual([])
  const kinds = new Set(found.map(({ kind }) => kind))
  expect([...kinds].sort()).toEqual(['encrypted', 'label', 'model', 'plain'])
}

test('in a SQLite file, through a crash, nothing is readable but what is kept plain', async () => {
  const scene = await setScene({ databaseUrl: folder => `sqlite:${folder}/stele.db` })
  const first = await scene.serve({ LOG_LEVEL: 'debug' })
  await sayEverything(scene)
  const { over } = await leaveOpenIn(scene)
  first.kill('SIGKILL')
  await over
  await first.ended
  expectNothingIn(scene, filesBelow(scene.folder))

  const second = await scene.serve({ LOG_LEVEL: 'trace' })
  await scene.speaker('encrypted').send('POST', '/v1/chat/completions', {
    body: chat(scene.speaker('encrypted'), 'a chat after the crash'),
  })
  second.kill('SIGTERM')
  expect(await second.ended).toEqual({ code: 0, signal: null })
  const stele = await expectKept(scene)
  await stele.backup(join(scene.folder, 'backup.db'))
  expectNothingIn(scene, filesBelow(scene.folder))
  expectAllButUnkept(await exported(stele, scene.search))
})

/** Says things while the database is away, of every mode, kept and not to be kept. */
async function sayMeanwhile(scene: Scene): Promise<void> {
  const speakers = [...modes.map(mode => scene.speaker(mode)), scene.speaker('encrypted', 'unkept')]
  const asked = speakers.flatMap(s =>
    ['speaks', 'refuses', 'breaks'].flatMap(manner => {
      const more = { manner, stream: manner === 'breaks', ...(s.kind === 'unkept' ? { store: false } : {}) }
      return [
        s.send('POST', '/v1/chat/completions', { body: chat(s, `a chat meanwhile that ${manner}`, more) }),
        s.send('POST', '/v1/responses', { body: response(s, `a response meanwhile that ${manner}`, more) }),
      ]
    }),
  )
  await Promise.allSettled(asked)
}

test('in PostgreSQL, on the way to it and in the spool, nothing is readable but what is kept plain', {
  timeout: 90_000,
}, async () => {
  const server = await startPostgresServer({ maxConnections: 40 })
  onTestFinished(() => server.stop())
  const link = await tapLink(server.url)
  const scene = await setScene({ databaseUrl: () => link.url, operatorUrl: server.url })
  const first = await scene.serve({ LOG_LEVEL: 'trace', DB_POOL_TIMEOUT: '2', DB_COMMIT_TIMEOUT: '1' })
  await sayEverything(scene)

  link.cut()
  await sayMeanwhile(scene)
  const spool = join(scene.folder, '.stele/spool')
  expect(filesBelow(spool).length).toBeGreaterThan(0)
  expect(told(beyond(inFiles(scene.search, filesBelow(spool)), []))).toEqual([])
  const { over } = await leaveOpenIn(scene)
  first.kill('SIGKILL')
  await over
  await first.ended
  expectNothingIn(scene, filesBelow(scene.folder))

  link.restore()
  const second = await scene.serve({ LOG_LEVEL: 'debug' })
  await expect
    .poll(() => existsSync(spool) && filesBelow(spool).some(path => path.endsWith('.db')))
    .toBe(false)
  second.kill('SIGTERM')
  expect(await second.ended).toEqual({ code: 0, signal: null })
  const stele = await expectKept(scene)
  await sql`CHECKPOINT`.execute(stele.database.kysely)
  expectNothingIn(scene, filesBelow(scene.folder))
  // Where the server has compressed what is kept plain, not all markers tell their kind any more; rows and the wire do.
  const kinds = [...plainInFiles, 'unknown'] as const
  expect(told(beyond(inFiles(scene.search, filesBelow(server.folder)), kinds))).toEqual([])
  const heard = link.heard().flatMap(said => scene.search.inFile('the way to the database', said))
  expect(told(beyond(heard, [...plainInFiles, 'asked']))).toEqual([])
})

test('on a full disk nothing is readable either', async () => {
  const scene = await setScene({ databaseUrl: folder => `sqlite:${folder}/stele.db` })
  const gateway = await scene.serve({ LOG_LEVEL: 'trace' }, { fileLimit: 1_500_000 })
  const s = scene.speaker('encrypted')
  const statuses: number[] = []
  while (statuses.at(-1) !== 503 && statuses.length < 500) {
    const replies = await Promise.all(
      Array.from({ length: 8 }, () =>
        s.send('POST', '/v1/chat/completions', { body: chat(s, 'a chat that fills the disk') }),
      ),
    )
    statuses.push(...replies.map(({ status }) => status).sort())
  }
  expect(statuses.at(-1)).toBe(503)
  gateway.kill('SIGKILL')
  await gateway.ended
  expectNothingIn(scene, filesBelow(scene.folder))
})
