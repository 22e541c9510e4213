/**
 * Which PostgreSQL driver, and which way of passing a batch of rows, records the most calls a second.
 *
 *   node bench/postgres-drivers.ts [--seconds 1.5] [--rounds 3]
 *
 * Every combination of driver, parameter encoding and batch size runs the recorder's shape of work with two batches
 * in flight and two durable commits a call, in interleaved rounds. One JSON line on stdout, a table on stderr.
 */
import { parseArgs } from 'node:util'
import pg from 'pg'
import { ensurePeers } from './lib/peers.ts'
import { type Encoding, encodings } from './lib/postgres-encodings.ts'
import { type Driver, drivers, type Session } from './lib/postgres-sessions.ts'
import { batchMaker, CONTENT_BYTES, reset, schema, usersOfLane } from './lib/recorder-shape.ts'
import { printResult, say, table } from './lib/report.ts'
import { median, round } from './lib/statistics.ts'
import { startPostgres } from './lib/temporary-postgres.ts'

const { values: flags } = parseArgs({
  options: { seconds: { type: 'string', default: '1.5' }, rounds: { type: 'string', default: '3' } },
})
const milliseconds = Number(flags.seconds) * 1000
const rounds = Number(flags.rounds)
const batchSizes = [1, 8, 32]
const LANES = 2

interface Combination {
  readonly driver: Driver
  readonly encoding: Encoding
  readonly size: number
  readonly callsPerSecond: number[]
  readonly clientCpuMicros: number[]
}

async function measure(sessions: readonly Session[], { encoding, size }: Combination, prefix: string) {
  const lanes = sessions.map((session, lane) => ({
    session,
    batch: batchMaker(encoding, usersOfLane(lane, LANES), `${prefix}${lane}`),
  }))
  for (const { session, batch } of lanes) {
    const { begin, settle } = batch(size)
    await session.transaction(begin)
    await session.transaction(settle)
  }
  let calls = 0
  const warmUp = LANES * size
  const cpu = process.cpuUsage()
  const start = performance.now()
  await Promise.all(
    lanes.map(async ({ session, batch }) => {
      while (performance.now() - start < milliseconds) {
        const { begin, settle } = batch(size)
        await session.transaction(begin)
        await session.transaction(settle)
        calls += size
      }
    }),
  )
  const seconds = (performance.now() - start) / 1000
  const used = process.cpuUsage(cpu)
  return { calls: calls + warmUp, perSecond: calls / seconds, cpuMicros: (used.user + used.system) / calls }
}

/** A fast driver that loses rows is not fast: every call must be there whole. */
async function verify(admin: pg.Client, calls: number): Promise<void> {
  const { rows } = await admin.query<{
    found: string
  }>(`SELECT concat_ws(' ', (SELECT count(*) FROM llm_requests),
    (SELECT count(*) FROM llm_responses), (SELECT count(*) FROM messages), (SELECT sum(calls) FROM usage_daily),
    (SELECT sum(length(content)) FROM messages)) AS found`)
  const expected = [calls, calls, 2 * calls, calls, 2 * calls * CONTENT_BYTES].join(' ')
  if (rows[0]?.found !== expected) throw new Error(`expected ${expected} rows, found ${rows[0]?.found}`)
}

ensurePeers()
const server = await startPostgres()
try {
  const admin = new pg.Client({ connectionString: server.url })
  admin.on('error', error => say(`administration connection: ${error.message}`))
  await admin.connect()
  await admin.query(schema)
  const combinations: Combination[] = drivers.flatMap(driver =>
    encodings
      .filter(encoding => driver.binaryParameters || !encoding.binaryParameters)
      .flatMap(encoding =>
        batchSizes.map(size => ({ driver, encoding, size, callsPerSecond: [], clientCpuMicros: [] })),
      ),
  )
  say(`${combinations.length} combinations, ${rounds} rounds of ${milliseconds} ms each`)
  for (let turn = 0; turn < rounds; turn++) {
    for (const driver of drivers) {
      const sessions = await Promise.all(Array.from({ length: LANES }, () => driver.connect(server.url)))
      for (const combination of combinations.filter(c => c.driver === driver)) {
        for (const sql of reset.split(';')) await admin.query(sql)
        const figures = await measure(sessions, combination, `r${turn}`)
        await verify(admin, figures.calls)
        combination.callsPerSecond.push(figures.perSecond)
        combination.clientCpuMicros.push(figures.cpuMicros)
      }
      await Promise.all(sessions.map(session => session.close()))
    }
  }
  await admin.end()
  const results = combinations.map(c => ({
    driver: c.driver.name,
    encoding: c.encoding.name,
    batch: c.size,
    callsPerSecond: Math.round(median(c.callsPerSecond)),
    clientCpuMicrosPerCall: round(median(c.clientCpuMicros)),
  }))
  table([
    ['driver, encoding', ...batchSizes.map(size => `${size}/batch`), 'client µs/call at 32'],
    ...drivers.flatMap(driver =>
      encodings.flatMap(encoding => {
        const row = results.filter(r => r.driver === driver.name && r.encoding === encoding.name)
        if (row.length === 0) return []
        return [
          [
            `${driver.name}, ${encoding.name}`,
            ...row.map(r => r.callsPerSecond),
            row.at(-1)?.clientCpuMicrosPerCall ?? 0,
          ],
        ]
      }),
    ),
  ])
  printResult({ bench: 'postgres-drivers', inFlight: LANES, commitsPerCall: 2, results })
} finally {
  await server.stop()
}
