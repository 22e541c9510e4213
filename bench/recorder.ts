/**
 * What recording costs: Stele's recorder against a hand-written loop that writes the same rows, against Mastra's message
 * store, and against itself with content kept plain, at 1, 8 and 32 concurrent writers.
 *
 *   npm run bench:recorder -- [--seconds 3] [--rounds 3] [--postgres]
 *
 * One process, interleaved rounds, each contender on a database of its own; every message and reply unique. One JSON line
 * of turns a second and ratios on stdout, a table on stderr.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sampleCall } from './lib/call-template.ts'
import { postgresCeiling } from './lib/ceiling-postgres.ts'
import { sqliteCeiling } from './lib/ceiling-sqlite.ts'
import type { Contender } from './lib/contender.ts'
import { readPostgres, readSqlite } from './lib/live-schema.ts'
import { mastraStore } from './lib/mastra.ts'
import { ensurePeers } from './lib/peers.ts'
import { printResult, say, table } from './lib/report.ts'
import { median, round } from './lib/statistics.ts'
import { steleRecorder } from './lib/stele-recorder.ts'
import { temporaryDirectory } from './lib/temporary-directory.ts'
import { startPostgres } from './lib/temporary-postgres.ts'
import { loadTexts } from './lib/texts.ts'

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    postgres: { type: 'boolean', default: false },
  },
})
const seconds = Math.min(60, Number(flags.seconds))
const rounds = Math.min(50, Number(flags.rounds))
const writerCounts = [1, 8, 32]
const { texts, source } = loadTexts()

/** The message nearest to the mean size: the ceiling writes rows of one size. */
const typical = () => {
  const mean = texts.reduce((sum, text) => sum + text.length, 0) / texts.length
  return texts.reduce((best, text) =>
    Math.abs(text.length - mean) < Math.abs(best.length - mean) ? text : best,
  )
}

async function onSqlite(directory: string): Promise<Contender[]> {
  const file = join(directory, 'ceiling.db')
  const template = await sampleCall(`sqlite:${file}`, async () => readSqlite(file), typical())
  return [
    sqliteCeiling(file, template),
    await steleRecorder(`sqlite:${join(directory, 'stele.db')}`, texts),
    await steleRecorder(`sqlite:${join(directory, 'plain.db')}`, texts, 'plain'),
    await mastraStore({ file: join(directory, 'mastra.db') }, texts),
  ]
}

async function onPostgres(cleanup: AsyncDisposableStack): Promise<Contender[]> {
  const server = await startPostgres()
  cleanup.defer(() => server.stop())
  const url = await server.createDatabase('ceiling')
  const template = await sampleCall(url, () => readPostgres(url), typical())
  return [
    await postgresCeiling(url, template, 'ceiling', 1),
    await postgresCeiling(url, template, 'ceilingOfWriters', 0.5),
    await steleRecorder(await server.createDatabase('stele'), texts),
    await steleRecorder(await server.createDatabase('plain'), texts, 'plain'),
    await mastraStore({ url: await server.createDatabase('mastra') }, texts),
  ]
}

ensurePeers()
await using cleanup = new AsyncDisposableStack()
const directory = await temporaryDirectory('recorder')
cleanup.defer(() => directory.remove())
const contenders = flags.postgres ? await onPostgres(cleanup) : await onSqlite(directory.path)
for (const contender of contenders) cleanup.defer(() => contender.close())

/** Another first one each round, and every other round backwards: what one leaves for the disk to write is not always the same one's burden. */
function orderOf(turn: number): Contender[] {
  const first = turn % contenders.length
  const order = [...contenders.slice(first), ...contenders.slice(0, first)]
  return turn % 2 === 0 ? order : order.reverse()
}

const turns = new Map(contenders.map(c => [c.name, new Map(writerCounts.map(w => [w, [] as number[]]))]))
const series = (name: string, writers: number): number[] => turns.get(name)?.get(writers) ?? []
say(`Warming up, then ${rounds} rounds of ${seconds} s for each of ${contenders.map(c => c.name).join(', ')}`)
for (const contender of contenders) await contender.run(32, Math.min(1, seconds))
for (let turn = 0; turn < rounds; turn++) {
  for (const writers of writerCounts) {
    for (const contender of orderOf(turn))
      series(contender.name, writers).push(await contender.run(writers, seconds))
  }
}

/** The median over rounds of the ratio within a round. */
const ratio = (name: string, writers: number) => {
  if (!turns.has(name)) return undefined
  const other = series(name, writers)
  return round(median(series('stele', writers).map((value, i) => value / (other[i] ?? Number.NaN))))
}
table([
  ['turns/s', ...writerCounts.map(w => `${w} writers`)],
  ...contenders.map(c => [c.name, ...writerCounts.map(w => Math.round(median(series(c.name, w))))]),
])
for (const contender of contenders) say(`  ${contender.name}: ${contender.note}`)
printResult({
  bench: 'recorder',
  database: flags.postgres ? 'postgresql' : 'sqlite',
  steleVsCeiling: ratio('ceiling', 32),
  steleVsCeilingOfWriters: ratio('ceilingOfWriters', 32),
  steleVsMastra: ratio('mastra', 32),
  encryptedVsPlain: ratio('stelePlain', 32),
  byWriters: Object.fromEntries(
    writerCounts.map(w => [
      w,
      {
        turnsPerSecond: Object.fromEntries(
          contenders.map(c => [c.name, Math.round(median(series(c.name, w)))]),
        ),
        steleVsCeiling: ratio('ceiling', w),
        steleVsCeilingOfWriters: ratio('ceilingOfWriters', w),
        steleVsMastra: ratio('mastra', w),
        encryptedVsPlain: ratio('stelePlain', w),
      },
    ]),
  ),
  texts: source,
  rounds,
  seconds,
  notes: Object.fromEntries(contenders.map(c => [c.name, c.note])),
})
