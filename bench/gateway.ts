/**
 * What the gateway costs: throughput at 32 connections and added latency at one, against a bare Fastify + undici proxy and
 * `@portkey-ai/gateway` (which records nothing), with Stele committing every call twice.
 *
 *   npm run bench:gateway -- [--seconds 5] [--rounds 5] [--postgres] [--limits]
 *
 * With `--limits` there is a second Stele that counts everybody's tokens of the day against a cap that nobody reaches.
 *
 * All run side by side in one run, in interleaved rounds, over one stand-in provider, every message unique. One JSON line of
 * ratios on stdout, a table on stderr.
 */
import { parseArgs } from 'node:util'
import {
  type SteleTarget,
  startBareProxy,
  startPortkey,
  startStele,
  startUpstream,
  type Target,
} from './lib/gateway-targets.ts'
import { load } from './lib/load.ts'
import { ensurePeers } from './lib/peers.ts'
import { printResult, say, table } from './lib/report.ts'
import { median, round } from './lib/statistics.ts'

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    postgres: { type: 'boolean', default: false },
    limits: { type: 'boolean', default: false },
    'without-stele': { type: 'boolean', default: false },
  },
})
const seconds = Math.min(60, Number(flags.seconds))
const rounds = Math.min(50, Number(flags.rounds))
const CONNECTIONS = 32

/** Figures of one target, one entry per round. */
interface Series {
  readonly target: Target
  readonly perSecond: number[]
  readonly p99Ms: number[]
  readonly aloneP50Ms: number[]
  readonly addedP50Ms: number[]
  answered: number
}

const series = (target: Target): Series => ({
  target,
  perSecond: [],
  p99Ms: [],
  aloneP50Ms: [],
  addedP50Ms: [],
  answered: 0,
})

async function measure(entry: Series, connections: number, duration: number, run: string) {
  const { port, headers } = entry.target
  const result = await load({ port, headers, connections, seconds: duration, run })
  entry.answered += result.requests
  return result
}

ensurePeers()
await using cleanup = new AsyncDisposableStack()
const started = async <T extends Target>(target: Promise<T>): Promise<T> => {
  const server = await target
  cleanup.defer(() => server.stop())
  return server
}
const upstream = await started(startUpstream())
const direct = series(upstream)
const bare = series(await started(startBareProxy(upstream)))
const portkey = series(await started(startPortkey(upstream)))
const database = flags.postgres ? 'postgresql' : 'sqlite'
const steleTarget: SteleTarget | undefined = flags['without-stele']
  ? undefined
  : await started(startStele(upstream, database))
const stele = steleTarget && series(steleTarget)
const limited =
  stele && flags.limits
    ? series(await started(startStele(upstream, database, { DAILY_TOKEN_CAP: '1000000000000' })))
    : undefined
const all = [direct, bare, portkey, ...(stele ? [stele] : []), ...(limited ? [limited] : [])]
const eventLoop = { p50Ms: [] as number[], p99Ms: [] as number[], maxMs: [] as number[] }

say(
  `Warming up, then ${rounds} rounds of ${seconds} s at ${CONNECTIONS} connections and ${seconds / 2} s at one`,
)
for (const entry of all) await measure(entry, CONNECTIONS, Math.min(2, seconds), 'warm-up')
for (let turn = 0; turn < rounds; turn++) {
  // Another goes first each round, so that none always runs on a fresh or a tired machine; and every other round the other way
  // round, so that none always runs right behind one that has left the disk something to write.
  const rotated = all.map((_, i) => all[(i + turn) % all.length] ?? direct)
  const order = turn % 2 === 0 ? rotated : rotated.toReversed()
  for (const entry of order) {
    if (entry === stele) await steleTarget?.eventLoopDelay()
    const { perSecond, p99Ms } = await measure(entry, CONNECTIONS, seconds, `r${turn}`)
    entry.perSecond.push(perSecond)
    entry.p99Ms.push(p99Ms)
    if (entry === stele && steleTarget) {
      const delay = await steleTarget.eventLoopDelay()
      eventLoop.p50Ms.push(delay.p50Ms)
      eventLoop.p99Ms.push(delay.p99Ms)
      eventLoop.maxMs.push(delay.maxMs)
    }
  }
  for (const entry of order) entry.aloneP50Ms.push((await measure(entry, 1, seconds / 2, `l${turn}`)).p50Ms)
  for (const entry of all)
    entry.addedP50Ms.push((entry.aloneP50Ms[turn] ?? 0) - (direct.aloneP50Ms[turn] ?? 0))
}

const ratio = (a: Series, b: Series, key: 'perSecond' | 'addedP50Ms') =>
  round(median(a[key].map((value, turn) => value / (b[key][turn] ?? Number.NaN))))
const recorded = await steleTarget?.stopAndCount()

table([
  ['', `req/s at ${CONNECTIONS}`, 'p99 ms', 'p50 ms at 1', 'added ms'],
  ...all.map(entry => [
    entry.target.name,
    Math.round(median(entry.perSecond)),
    round(median(entry.p99Ms)),
    round(median(entry.aloneP50Ms)),
    round(median(entry.addedP50Ms)),
  ]),
])
printResult({
  bench: 'gateway',
  database,
  ...(stele && {
    steleVsPortkeyThroughput: ratio(stele, portkey, 'perSecond'),
    steleVsBareThroughput: ratio(stele, bare, 'perSecond'),
    addedLatencyVsPortkey: ratio(stele, portkey, 'addedP50Ms'),
    eventLoopDelayP99Ms: round(median(eventLoop.p99Ms)),
    eventLoopDelayMaxMs: round(Math.max(...eventLoop.maxMs)),
    answeredCalls: stele.answered,
    recordedCalls: recorded,
  }),
  ...(stele && limited && { limitsVsNoneThroughput: ratio(limited, stele, 'perSecond') }),
  bareVsPortkeyThroughput: ratio(bare, portkey, 'perSecond'),
  connections: CONNECTIONS,
  rounds,
  seconds,
  raw: Object.fromEntries(
    all.map(entry => [
      entry.target.name,
      {
        perSecond: Math.round(median(entry.perSecond)),
        p99Ms: round(median(entry.p99Ms)),
        aloneP50Ms: round(median(entry.aloneP50Ms)),
        addedP50Ms: round(median(entry.addedP50Ms)),
      },
    ]),
  ),
})
if (stele && recorded !== undefined && recorded < stele.answered) {
  say(`${stele.answered - recorded} answered calls are not in the record`)
  process.exitCode = 1
}
