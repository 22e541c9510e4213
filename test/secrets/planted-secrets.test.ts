import { expect, test } from 'vitest'
import { derivedTables, tableNames } from '../../src/db/tables.ts'
import { startGateway } from '../gateway/running.ts'
import { chat } from './bodies.ts'
import { beRefused, failAtProvider, leaveOpen, sayUnkept } from './failures.ts'
import { belongings, recipes } from './recipes.ts'
import { bodyLimit, type Mode, type Scene, setScene, users } from './scene.ts'
import { told } from './search-bytes.ts'
import { beyond, filesBelow, inFiles, leaksInRows, readable } from './stored.ts'

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
async function expectKept(scene: Scene): Promise<void> {
  const stele = await scene.open()
  const { search } = scene
  const tables = [...tableNames, ...derivedTables]
  expect(told(await leaksInRows(stele, search, { tables, plainUser: users.plain }))).toEqual([])
  const found = await readable(stele, search)
  expect(told(beyond(found, ['encrypted', ...plainInFiles]))).toEqual([])
  // What is searched for is there to be found.
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
  await expectKept(scene)
  expectNothingIn(scene, filesBelow(scene.folder))
})
