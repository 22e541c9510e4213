import { expect } from 'vitest'
import { derivedTables, tableNames } from '../../src/db/tables.ts'
import type { Stele } from '../../src/stele.ts'
import { accessRecipes } from './access-recipes.ts'
import { chat, response } from './bodies.ts'
import { beRefused, failAtProvider, leaveOpen, sayUnkept } from './failures.ts'
import { belongings, recipes } from './recipes.ts'
import { bodyLimit, type Mode, type Scene, users } from './scene.ts'
import { type Finding, told } from './search-bytes.ts'
import { beyond, inFiles, leaksInRows, readable } from './stored.ts'

/**
 * What the tests here are made of: saying everything, and looking for it. After an erasure of a user nothing of the kind that this
 * user's things have may be found any more: neither by `readable`, nor by `inFiles` in any file, a backup and its keys included.
 */

const modes = Object.keys(users) as Mode[]

/** What files of a database may hold: the content of those who have it kept plain, and what is plain for everybody. */
export const plainInFiles = ['plain', 'label', 'model'] as const

/** Says marked things on every route, in every place that has room for words, in every mode, and fails in every way. */
export async function sayEverything(scene: Scene): Promise<void> {
  const speakers = modes.map(mode => scene.speaker(mode))
  await Promise.all(
    speakers.map(async s => {
      const own = await belongings(s, scene.adminKey)
      for (const [route, recipe] of Object.entries(recipes)) {
        // What accounts are made of has no mode, and passwords take their time.
        if (route in accessRecipes && s.kind !== 'encrypted') continue
        await recipe(s, own).catch(cause => {
          throw new Error(`${s.kind}: ${route}`, { cause })
        })
      }
    }),
  )
  await Promise.all(speakers.map(failAtProvider))
  await Promise.all([scene.speaker('encrypted', 'unkept'), scene.speaker('plain', 'unkept')].map(sayUnkept))
  const { address } = scene
  // Whoever is refused is so before anybody asks for their mode: each says a part of it, together all.
  await Promise.all(
    speakers.map((s, index) => {
      const routes = Object.keys(recipes).filter((_, at) => at % speakers.length === index)
      return beRefused(s, routes, { address: address(), bodyLimit })
    }),
  )
}

/** Leaves calls open and waits until the provider has them. */
export async function leaveOpenIn(scene: Scene): Promise<{ readonly over: Promise<unknown> }> {
  const { upstream } = scene
  const before = upstream.journal.length
  const open = modes.map(mode => leaveOpen(scene.speaker(mode)))
  await expect.poll(() => upstream.journal.length).toBeGreaterThanOrEqual(before + open.length * 5)
  return { over: Promise.all(open.map(({ over }) => over)) }
}

/** Fails when anything but what is plain on purpose stands in these files, or in what the gateway has said. */
export function expectNothingIn(scene: Scene, files: readonly string[]): void {
  const { stdout, stderr } = scene.said()
  const leaks = [
    ...beyond(inFiles(scene.search, files), plainInFiles),
    ...beyond(scene.search.inFile('stdout', Buffer.from(stdout)), []),
    ...beyond(scene.search.inFile('stderr', Buffer.from(stderr)), ['model']),
  ]
  expect(told(leaks)).toEqual([])
}

/** What nobody can read with all keys in hand, and what the operator can. */
export async function expectKept(scene: Scene): Promise<Stele> {
  const stele = await scene.open()
  const { search } = scene
  const tables = [...tableNames, ...derivedTables]
  expect(told(await leaksInRows(stele, search, { tables, plainUser: users.plain }))).toEqual([])
  expectAllButUnkept(await readable(stele, search))
  return stele
}

/** What shows everything that is kept shows nothing more, and no less: what is searched for is there to be found. */
export function expectAllButUnkept(found: readonly Finding[]): void {
  expect(told(beyond(found, ['encrypted', ...plainInFiles]))).toEqual([])
  const kinds = new Set(found.map(({ kind }) => kind))
  expect([...kinds].sort()).toEqual(['encrypted', 'label', 'model', 'plain'])
}

/** Says things while the database is away, of every mode, kept and not to be kept. */
export async function sayMeanwhile(scene: Scene): Promise<void> {
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
