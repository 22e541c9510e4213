import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import { runJson, runStele } from '../cli/run-stele.ts'
import { type Child, startChild } from '../harness/children.ts'
import { type Place, postgresPlace } from '../harness/databases.ts'
import { type Link, linkToPostgres } from '../harness/postgres-link.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

interface Recorded {
  readonly settled: string[]
  readonly open: string[]
}

interface Scene {
  readonly place: Place
  readonly link: Link
  readonly child: Child
  /** Calls that the child recorded before the database went away, and after. */
  readonly before: Recorded
  readonly after: Recorded
}

/** A process that recorded some calls with the database and some without it, and was killed before it came back. */
async function killedInOutage(): Promise<Scene> {
  const place = await postgresPlace()
  await (await place.stele()).close()
  const link = await linkToPostgres()
  const { spoolFolder } = place
  const child = startChild('spool-calls.ts', { ...place, databaseUrl: link.databaseUrl }, { spoolFolder })
  expect(await child.next()).toBe('ready')
  child.tell('6 2')
  const before = (await child.next()) as Recorded
  link.cut()
  child.tell('10 7')
  const after = (await child.next()) as Recorded
  await child.kill()
  return { place, link, child, before, after }
}

async function expectAllRecorded(stele: Stele, { before, after }: Scene): Promise<void> {
  for (const id of [...before.settled, ...after.settled])
    expect(await stele.calls.find(id), id).toMatchObject({ status: 'completed' })
  for (const id of [...before.open, ...after.open])
    expect(await stele.calls.find(id), id).toMatchObject({ status: 'orphaned' })
  expect(await countOf(stele, 'llm_requests')).toBe(16)
  const usage = await rowsOf(stele, 'usage_daily')
  expect(usage.map(({ calls, errors }) => [calls, errors])).toEqual([[16, 7]])
}

test('whoever starts next brings in what a killed process had spooled, and gives up what it left open', async () => {
  const scene = await killedInOutage()
  const next = await scene.place.stele()
  expect(await next.recorder.start()).toBe(7)
  await expectAllRecorded(next, scene)
  expect(readdirSync(scene.place.spoolFolder)).toEqual([])
})

test('two that start at once bring it in once', async () => {
  const scene = await killedInOutage()
  const next = await Promise.all([scene.place.stele(), scene.place.stele()])
  await Promise.all(next.map(({ recorder }) => recorder.start()))
  const [stele] = next
  if (stele === undefined) throw new Error('nobody started')
  // One of them had the spool while the other looked.
  await expect.poll(() => countOf(stele, 'llm_responses')).toBe(16)
  await expectAllRecorded(stele, scene)
})

test('the command line shows what waits, leaves a running process its own, and drains the rest', async () => {
  const scene = await killedInOutage()
  const { place, link } = scene
  const env = { STELE_SPOOL_FOLDER: place.spoolFolder }
  const waiting = await runJson<Record<string, unknown>[]>(['spool', 'status'], { place, env })
  expect(waiting).toMatchObject([{ inUse: false, waiting: 17, rejected: [] }])
  expect((await runStele(['spool', 'status'], { place, env })).stdout).toMatch(/WAITING .*\n.* no +17 /)

  const living = startChild('spool-calls.ts', place, { spoolFolder: place.spoolFolder })
  // It has drained what the killed one left by the time it is ready, as every start does.
  expect(await living.next()).toBe('ready')
  expect(await runJson(['spool', 'status'], { place, env })).toEqual([])
  await living.kill()

  link.restore()
  const other = startChild(
    'spool-calls.ts',
    { ...place, databaseUrl: link.databaseUrl },
    { spoolFolder: place.spoolFolder },
  )
  expect(await other.next()).toBe('ready')
  link.cut()
  other.tell('3 3')
  const { settled } = (await other.next()) as Recorded
  expect(await runJson(['spool', 'status'], { place, env })).toMatchObject([{ inUse: true, waiting: 6 }])
  const left = await runStele(['spool', 'drain'], { place, env })
  expect([left.code, left.stderr]).toEqual([0, '0 entries drained, 0 calls without an end given up.\n'])
  await other.kill()
  const drained = await runStele(['spool', 'drain'], { place, env })
  expect([drained.code, drained.stderr]).toEqual([0, '6 entries drained, 0 calls without an end given up.\n'])
  const stele = await place.stele()
  for (const id of settled) expect(await stele.calls.find(id), id).toMatchObject({ status: 'completed' })
})
