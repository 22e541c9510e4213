/**
 * Whether the gateway's memory stays flat: its resident size while 200,000 calls go through it at 32 connections, and, on
 * PostgreSQL, through outages of ten seconds in the load, which the spool bridges. The first one takes memory that stays
 * taken; that those after it take no more shows that nothing is kept of them.
 *
 *   npm run bench:memory -- [--calls 200000] [--postgres] [--outage 10] [--outages 3]
 *
 * One JSON line on stdout, a table on stderr. Fails when a call got an error or is not on record.
 */
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { startStele, startUpstream } from './lib/gateway-targets.ts'
import { load } from './lib/load.ts'
import { printResult, say, table } from './lib/report.ts'
import { round } from './lib/statistics.ts'

const { values: flags } = parseArgs({
  options: {
    calls: { type: 'string', default: '200000' },
    postgres: { type: 'boolean', default: false },
    outage: { type: 'string', default: '10' },
    outages: { type: 'string', default: '3' },
  },
})
const calls = Math.min(5_000_000, Number(flags.calls))
const outageSeconds = Math.min(60, Number(flags.outage))
const outages = flags.postgres && outageSeconds > 0 ? Math.min(20, Number(flags.outages)) : 0
const SLICE_SECONDS = 4
const WARM_UP_SHARE = 0.2

interface Sample {
  readonly calls: number
  readonly perSecond: number
  readonly residentMiB: number
  readonly note: string
}

await using cleanup = new AsyncDisposableStack()
const upstream = await startUpstream()
cleanup.defer(() => upstream.stop())
const stele = await startStele(upstream, flags.postgres ? 'postgresql' : 'sqlite')
let isStopped = false
cleanup.defer(async () => {
  if (!isStopped) await stele.stop()
})
const { port, headers, pid, postgres } = stele
const address = `http://127.0.0.1:${port}/readyz`

/** Resident memory of the gateway in MiB, as the system counts it. */
function residentMiB(): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1024
}

const samples: Sample[] = []
let answered = 0

async function slice(seconds: number, note: string): Promise<void> {
  const result = await load({ port, headers, connections: 32, seconds, run: `m${samples.length}` })
  answered += result.requests
  samples.push({ calls: answered, perSecond: result.perSecond, residentMiB: residentMiB(), note })
  say(`${answered} calls, ${round(residentMiB())} MiB`)
}

while (answered < calls / (outages + 1)) await slice(SLICE_SECONDS, '')
const drainedAfterMs: number[] = []
const afterOutagesMiB: number[] = []
for (let outage = 1; postgres !== undefined && outage <= outages; outage++) {
  const away = postgres.outage(outageSeconds * 1000)
  await slice(outageSeconds + SLICE_SECONDS, `${outageSeconds} s without PostgreSQL in it`)
  await away
  const back = performance.now()
  for (;;) {
    const ready = (await (await fetch(address)).json()) as { status: string }
    if (ready.status === 'ready') break
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  drainedAfterMs.push(Math.round(performance.now() - back))
  do await slice(SLICE_SECONDS, '')
  while (answered < (calls * (outage + 1)) / (outages + 1))
  afterOutagesMiB.push(round(residentMiB()))
}
while (answered < calls) await slice(SLICE_SECONDS, '')
isStopped = true
const recorded = await stele.stopAndCount()

const settled = samples.filter(sample => sample.calls > calls * WARM_UP_SHARE)
const sizes = settled.map(sample => sample.residentMiB)
table([
  ['calls', 'calls/s', 'resident MiB', ''],
  ...samples.map(sample => [
    sample.calls,
    Math.round(sample.perSecond),
    round(sample.residentMiB),
    sample.note,
  ]),
])
printResult({
  bench: 'memory',
  database: postgres === undefined ? 'sqlite' : 'postgresql',
  answeredCalls: answered,
  recordedCalls: recorded,
  afterWarmUpMiB: round(sizes[0] ?? Number.NaN),
  largestMiB: round(Math.max(...sizes)),
  lastMiB: round(sizes.at(-1) ?? Number.NaN),
  lastVsAfterWarmUp: round((sizes.at(-1) ?? Number.NaN) / (sizes[0] ?? Number.NaN)),
  ...(outages === 0 ? {} : { outageSeconds, drainedAfterMs, afterOutagesMiB }),
})
if (recorded < answered) {
  say(`${answered - recorded} answered calls are not in the record`)
  process.exitCode = 1
}
