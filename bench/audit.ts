/**
 * What the audit trail costs: the recorder with events, queue and sequencing against the same recorder whose events go nowhere, and against
 * one whose events stay queued; how far the log is behind meanwhile; how many events a second are taken into it; and how long a
 * million of them take to verify, in the database and offline from an export.
 *
 *   npm run bench:audit -- [--seconds 2] [--rounds 5] [--writers 32] [--events 100000] [--postgres]
 *
 * One process, interleaved rounds, each contender on a database of its own. One JSON line on stdout, a table on stderr.
 */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { exportAudit } from '../src/audit/export/log.ts'
import { doAuditStep } from '../src/audit/log/do-step.ts'
import { verifyAuditExport } from '../src/audit/verify/export.ts'
import { verifyLog } from '../src/audit/verify/store.ts'
import { openStele, type Stele } from '../src/stele.ts'
import { addEvents, eventRow, operator } from '../src/store/audit-events.ts'
import { queueRow } from '../src/store/audit-queue.ts'
import { timeTurns } from './lib/contender.ts'
import { printResult, say, table } from './lib/report.ts'
import { median, round } from './lib/statistics.ts'
import { recordCall } from './lib/stele.ts'
import { temporaryDirectory } from './lib/temporary-directory.ts'
import { startPostgres } from './lib/temporary-postgres.ts'
import { loadTexts, replyBody, requestBody, uniqueText } from './lib/texts.ts'
import { makeWithoutEvents } from './lib/without-events.ts'

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    writers: { type: 'string', default: '32' },
    events: { type: 'string', default: '100000' },
    postgres: { type: 'boolean', default: false },
  },
})
const seconds = Math.min(60, Number(flags.seconds))
const rounds = Math.min(50, Number(flags.rounds))
const writers = Math.min(256, Number(flags.writers))
const events = Math.min(5_000_000, Number(flags.events))

await using cleanup = new AsyncDisposableStack()
const directory = await temporaryDirectory('audit')
cleanup.defer(() => directory.remove())
const server = flags.postgres ? await startPostgres() : undefined
if (server !== undefined) cleanup.defer(() => server.stop())
const urlOf = async (name: string): Promise<string> =>
  server === undefined ? `sqlite:${join(directory.path, name, 'stele.db')}` : server.createDatabase(name)

const errors: unknown[] = []
async function openAt(
  name: string,
  sequence: boolean,
  prepare?: (url: string) => Promise<void>,
): Promise<Stele> {
  const databaseUrl = await urlOf(name)
  await prepare?.(databaseUrl)
  const onError = (error: unknown): void => void errors.push(error)
  const stele = await openStele({
    databaseUrl,
    masterKey: Buffer.alloc(32, 7).toString('base64'),
    audit: { sequence },
    onError,
  })
  cleanup.defer(() => stele.close())
  return stele
}

const contenders: readonly (readonly [string, Stele])[] = [
  ['nothing', await openAt('nothing', false, makeWithoutEvents)],
  ['queued', await openAt('queued', false)],
  ['whole', await openAt('whole', true)],
]
const whole = contenders[2]?.[1] as Stele
const { texts, source } = loadTexts()
let asked = 0
const turnOf = (stele: Stele) => async (writer: number) => {
  const request = requestBody(uniqueText(texts, asked++, 'audit'))
  await recordCall(stele, `user-${writer}`, request, replyBody(`audit-${asked}`))
}
const turns = new Map(contenders.map(([name]) => [name, [] as number[]]))
const lags: number[] = []
say(
  `Warming up, then ${rounds} rounds of ${seconds} s for each of ${contenders.map(([name]) => name).join(', ')}`,
)
for (const [, stele] of contenders) await timeTurns(writers, Math.min(1, seconds), turnOf(stele))
for (let turn = 0; turn < rounds; turn++)
  for (let at = 0; at < contenders.length; at++) {
    const [name, stele] = contenders[(at + turn) % contenders.length] ?? ['whole', whole]
    const watch =
      stele === whole
        ? setInterval(() => void whole.auditLog.lag().then(lag => lags.push(lag)), 100)
        : undefined
    turns.get(name)?.push(await timeTurns(writers, seconds, turnOf(stele)))
    clearInterval(watch)
    // What it is behind by is not to be made up for in another's round.
    await whole.auditLog.sequence()
  }
const series = (name: string): number[] => turns.get(name) ?? []
const ratio = (name: string): number =>
  median(series(name).map((value, at) => value / (series('nothing')[at] ?? Number.NaN)))

/** Milliseconds that the form of an event takes, which the store without events spends too. */
const rows = Array.from({ length: 64 }, () => {
  const by = { userId: 'key_01h455vb4pex5vsknk084sn02q' }
  return eventRow(
    { userId: 'user-1', by, action: 'call.settled', target: 'call_01h455vb4pex5vsknk084sn02q' },
    1,
  )
})
const forms: number[] = []
for (let turn = 0; turn < 200; turn++) {
  const startedAt = performance.now()
  queueRow(whole.database.contents, rows)
  forms.push((performance.now() - startedAt) / rows.length)
}
const formTime = median(forms)
const formShare = (2 * formTime * median(series('nothing'))) / 1_000

const alone = await openAt('alone', false)
const eventsAtOnce = 250
const { database } = alone
for (let made = 0; made < events; made += eventsAtOnce) {
  const some = Array.from({ length: eventsAtOnce }, (_, index) =>
    eventRow(
      { userId: `user-${index % 100}`, by: operator, action: 'call.settled', target: `call_${made + index}` },
      Date.now(),
    ),
  )
  await database.kysely.transaction().execute(tx => addEvents(tx, database.contents, ...some))
}
const startedAt = performance.now()
for (let isDone = false; !isDone; )
  ({ isDone } = await doAuditStep(database, { limit: 2_048, published: [] }))
const sequencing = (events * 1_000) / (performance.now() - startedAt)

const verifiedAt = performance.now()
const verdict = await verifyLog(database)
const verifySeconds = ((performance.now() - verifiedAt) / 1_000) * (1_000_000 / events)
const path = join(directory.path, 'export.jsonl')
const file = await open(path, 'w')
await exportAudit(database, async lines => void (await file.write(lines)))
await file.close()
const keys = (await alone.auditLog.keys()).map(({ vkey }) => vkey)
const offlineAt = performance.now()
const offline = await verifyAuditExport(createReadStream(path), { keys })
const offlineSeconds = ((performance.now() - offlineAt) / 1_000) * (1_000_000 / events)

table([
  ['turns/s', 'median', 'of nothing'],
  ...contenders.map(([name]) => [name, Math.round(median(series(name))), round(ratio(name))]),
])
say(
  `  the form of an event takes ${round(formTime * 1_000)} µs; ${Math.round(sequencing)} events/s are sequenced`,
)
printResult({
  bench: 'audit',
  database: flags.postgres ? 'postgresql' : 'sqlite',
  /** Of the throughput without any events: what is lost in all, and what of that goes to events and queue. */
  cost: round(1 - ratio('whole') + formShare),
  costOfEvents: round(1 - ratio('queued') + formShare),
  formShare: round(formShare),
  worstLagMilliseconds: Math.max(0, ...lags),
  medianLagMilliseconds: Math.round(median(lags)),
  sequencedPerSecond: Math.round(sequencing),
  verifySecondsPerMillion: round(verifySeconds),
  offlineVerifySecondsPerMillion: round(offlineSeconds),
  verified: verdict.fault === undefined && offline.fault === undefined,
  errors: errors.map(String),
  texts: source,
  writers,
  rounds,
  seconds,
  events,
})
