/**
 * What limits cost: processor time of begin and settle without a limit, under one (requests and tokens of the day, of each user), and
 * under eight counters (all together, user, key and model, by minute and day), with one user and with many.
 *
 *   npm run bench:limits -- [--calls 2000] [--rounds 5] [--writers 16] [--postgres]
 *
 * One process, interleaved rounds, each contender on a store of its own. Processor time is that of this process, its writer thread
 * included: on a busy machine it says more than time on the clock. One JSON line on stdout, a table on stderr.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openStele, type Stele } from '../src/stele.ts'
import { printResult, say } from './lib/report.ts'
import { median, round } from './lib/statistics.ts'
import { temporaryDirectory } from './lib/temporary-directory.ts'
import { startPostgres } from './lib/temporary-postgres.ts'

const { values: flags } = parseArgs({
  options: {
    calls: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '5' },
    writers: { type: 'string', default: '16' },
    postgres: { type: 'boolean', default: false },
  },
})
const calls = Math.min(100_000, Number(flags.calls))
const rounds = Math.min(50, Number(flags.rounds))
const writers = Math.min(256, Number(flags.writers))

interface Contender {
  readonly name: string
  readonly users: number
  readonly limit: (stele: Stele) => Promise<void>
}

const most = 1_000_000_000
const perDay = { requestsPerDay: most, tokensPerDay: most }
const all = { ...perDay, requestsPerMinute: most, tokensPerMinute: most }

const contenders: readonly Contender[] = [
  { name: 'none', users: 1, limit: async () => undefined },
  {
    name: 'requests',
    users: 1,
    limit: async ({ limits }) => void (await limits.set({ eachUser: true }, { requestsPerDay: most })),
  },
  { name: 'day', users: 1, limit: async ({ limits }) => void (await limits.set({ eachUser: true }, perDay)) },
  {
    name: 'eight',
    users: 1,
    async limit({ limits }) {
      for (const target of [{}, { eachUser: true }, { key: 'key_1' }, { model: 'm' }])
        await limits.set(target, all)
    },
  },
  { name: 'none, many users', users: 500, limit: async () => undefined },
  {
    name: 'day, many users',
    users: 500,
    limit: async ({ limits }) => void (await limits.set({ eachUser: true }, perDay)),
  },
]

const reply = JSON.stringify({
  id: 'chatcmpl-1',
  model: 'm',
  choices: [
    { index: 0, message: { role: 'assistant', content: 'An answer of some length.' }, finish_reason: 'stop' },
  ],
  usage: { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 },
})
let asked = 0

async function oneCall({ recorder }: Stele, users: number): Promise<void> {
  const number = asked++
  const call = await recorder.begin({
    userId: `user ${number % users}`,
    apiKeyId: 'key_1',
    provider: 'test',
    body: JSON.stringify({
      model: 'm',
      max_completion_tokens: 500,
      messages: [{ role: 'user', content: `Question ${number}: ${'what do you think of it? '.repeat(15)}` }],
    }),
  })
  await recorder.settle(call, { status: 'completed', contentType: 'application/json', body: reply })
}

/** Microseconds of processor time for each call, and calls a second. */
async function measure(stele: Stele, users: number, count: number): Promise<{ cpu: number; rate: number }> {
  let left = count
  const work = async (): Promise<void> => {
    while (left-- > 0) await oneCall(stele, users)
  }
  const cpu = process.cpuUsage()
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: writers }, work))
  const { user, system } = process.cpuUsage(cpu)
  return { cpu: (user + system) / count, rate: (count / (performance.now() - startedAt)) * 1_000 }
}

await using cleanup = new AsyncDisposableStack()
const temporary = await temporaryDirectory('limits')
cleanup.defer(() => temporary.remove())
const directory = temporary.path
const server = flags.postgres ? await startPostgres() : undefined
if (server !== undefined) cleanup.defer(() => server.stop())
const running: { contender: Contender; stele: Stele; cpu: number[]; rate: number[] }[] = []
for (const contender of contenders) {
  const name = contender.name.replaceAll(/\W+/g, '_')
  const databaseUrl =
    server === undefined ? `sqlite:${join(directory, `${name}.db`)}` : await server.createDatabase(name)
  const masterKey = Buffer.alloc(32, 7).toString('base64')
  const stele = await openStele({ databaseUrl, masterKey, spoolFolder: join(directory, name) })
  cleanup.defer(() => stele.close())
  await contender.limit(stele)
  running.push({ contender, stele, cpu: [], rate: [] })
  await measure(stele, contender.users, Math.ceil(calls / 2))
}
for (let turn = 0; turn < rounds; turn++)
  for (const { contender, stele, cpu, rate } of turn % 2 === 0 ? running : running.toReversed()) {
    const measured = await measure(stele, contender.users, calls)
    cpu.push(measured.cpu)
    rate.push(measured.rate)
  }
const result: Record<string, unknown> = {
  database: server === undefined ? 'sqlite' : 'postgres',
  calls,
  rounds,
  writers,
}
for (const { contender, cpu, rate } of running) {
  const base = running.find(each => each.contender.users === contender.users)
  result[contender.name] = {
    cpu_us: round(median(cpu)),
    cpu_ratio: round(median(cpu) / median(base?.cpu ?? cpu)),
    calls_per_second: round(median(rate)),
  }
  say(
    `${contender.name}: ${round(median(cpu))} µs of processor time a call, ${round(median(rate))} calls a second`,
  )
}
printResult(result)
