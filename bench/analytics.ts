/**
 * How long reports take over a month of calls, in time and in processor time of this process; what summing them up takes, once;
 * and the same totals recounted from the calls, which every report must equal.
 *
 *   npm run bench:analytics -- [--calls 1000000] [--users 2000] [--rounds 7] [--postgres]
 *
 * The calls are written straight into their tables. One JSON line on stdout, a table on stderr.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { sql } from 'kysely'
import { doUsageStep } from '../src/analytics/do-step.ts'
import type { TopConversationsInput, UsageInput } from '../src/analytics/service.ts'
import { fillMonth, firstDay, lastDay, moreCalls } from './lib/month-of-calls.ts'
import { printResult, say, table } from './lib/report.ts'
import { median, round } from './lib/statistics.ts'
import { openForBench } from './lib/stele.ts'
import { temporaryDirectory } from './lib/temporary-directory.ts'
import { startPostgres } from './lib/temporary-postgres.ts'

const { values: flags } = parseArgs({
  options: {
    calls: { type: 'string', default: '1000000' },
    users: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '7' },
    postgres: { type: 'boolean', default: false },
  },
})
const calls = Number(flags.calls)
const users = Number(flags.users)
const rounds = Number(flags.rounds)

const range = { since: firstDay, until: lastDay }
const REPORTS: Readonly<Record<string, UsageInput>> = {
  'in all': range,
  'by day': { ...range, by: ['day'] },
  'by day and model': { ...range, by: ['day', 'model'] },
  'by provider and operation': { ...range, by: ['provider', 'operation'] },
  'by user, the first 100': { ...range, by: ['user'], limit: 100 },
  'by key, the first 100': { ...range, by: ['key'], limit: 100 },
  'of one user by day and model': { ...range, user: 'user-7', by: ['day', 'model'] },
  'of one week by user': { since: '2026-03-09', until: '2026-03-15', by: ['user'], limit: 100 },
}
const TOP: Readonly<Record<string, TopConversationsInput>> = {
  'top conversations by cost': { ...range, order: 'cost' },
  'top conversations of one user': { ...range, user: 'user-7', order: 'tokens' },
}

await using cleanup = new AsyncDisposableStack()
const directory = await temporaryDirectory('analytics')
cleanup.defer(() => directory.remove())
const server = flags.postgres ? await startPostgres() : undefined
if (server) cleanup.defer(() => server.stop())
const url = server === undefined ? `sqlite:${join(directory.path, 'analytics.db')}` : server.url
const stele = await openForBench(url)
cleanup.defer(() => stele.close())
const { kysely } = stele.database

say(`Writing ${calls} calls of ${users} users`)
await fillMonth(stele.database, { calls, users }, done => say(`  ${done} written`))
if (flags.postgres) await sql`ANALYZE`.execute(kysely)
const started = performance.now()
for (let isDone = false; !isDone; )
  ({ isDone } = await doUsageStep(stele.database, { kind: 'roll-up', limit: 5_000, now: Date.now() }))
const rollUpSeconds = round((performance.now() - started) / 1000)
if (flags.postgres) await sql`VACUUM ANALYZE`.execute(kysely)
// Some calls that are not summed up yet, as there are at any moment.
await moreCalls(stele.database, { calls: 300, users })
const rows = Number(
  (
    await kysely
      .selectFrom('usage_rollups')
      .select(eb => eb.fn.countAll().as('rows'))
      .executeTakeFirst()
  )?.rows,
)

const recounted = await timed(
  async () =>
    (
      await sql<Record<string, number>>`
    SELECT count(*) AS calls, sum(s.input_tokens) AS input, sum(s.output_tokens) AS output, sum(s.cost_nanousd) AS cost
    FROM llm_requests q JOIN llm_responses s ON s.request_id = q.id AND s.user_id = q.user_id`.execute(kysely)
    ).rows[0],
  1,
)
const { total } = await stele.usage.report(range)
const isEqual =
  total.calls === Number(recounted.value?.['calls']) &&
  total.inputTokens === Number(recounted.value?.['input']) &&
  total.outputTokens === Number(recounted.value?.['output']) &&
  total.costNanousd === Number(recounted.value?.['cost'])

interface Timing {
  readonly name: string
  readonly p50: number
  readonly highest: number
  readonly cpu: number
}
const results: Timing[] = []
for (const [name, input] of Object.entries(REPORTS))
  results.push({ name, ...(await timed(() => stele.usage.report(input), rounds)) })
for (const [name, input] of Object.entries(TOP))
  results.push({ name, ...(await timed(() => stele.usage.conversations(input), rounds)) })

table([
  ['report', 'p50 ms', 'highest ms', 'processor ms'],
  ...results.map(({ name, p50, highest, cpu }) => [name, p50, highest, cpu]),
])
printResult({
  database: flags.postgres ? 'postgres' : 'sqlite',
  calls,
  users,
  rows,
  rollUpSeconds,
  recountMs: recounted.p50,
  isEqual,
  reports: Object.fromEntries(results.map(({ name, p50, highest, cpu }) => [name, { p50, highest, cpu }])),
})

async function timed<T>(
  work: () => Promise<T>,
  times: number,
): Promise<{ p50: number; highest: number; cpu: number; value: T }> {
  const all: number[] = []
  const processor: number[] = []
  // The first warms up what every process has warm after a moment.
  let value = await work()
  for (let index = 0; index < times; index++) {
    const cpu = process.cpuUsage()
    const start = performance.now()
    value = await work()
    all.push(performance.now() - start)
    const { user, system } = process.cpuUsage(cpu)
    processor.push((user + system) / 1000)
  }
  return {
    p50: round(median(all)),
    highest: round(Math.max(...all)),
    cpu: round(median(processor)),
    value,
  }
}
