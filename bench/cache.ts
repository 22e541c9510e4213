/**
 * What an answer from the cache takes, beside the same request put to the built-in echo, which answers at once: so what is
 * compared is Stele's own path with two commits and Stele's own path with one.
 *
 *   npm run bench:cache -- [--postgres] [--requests 2000] [--connections 1]
 *
 * Both run in turns of 20 requests within one process, client and server together, so that what else the machine does falls
 * on both. `floor` is a request that touches neither cache nor record. `least` is the least that a durable record off the event loop
 * can take: a bare Fastify route that has a thread of its own commit one row of 200 bytes, and answers then. One JSON line on stdout, a
 * table on stderr.
 */
import { once } from 'node:events'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import Fastify from 'fastify'
import { pino } from 'pino'
import { Agent, request } from 'undici'
import { resolveConfig } from '../src/config.ts'
import { createGateway } from '../src/gateway/app.ts'
import { createProviders } from '../src/providers/registry.ts'
import { openStele } from '../src/stele.ts'
import { printResult, say, table } from './lib/report.ts'
import { percentile, round } from './lib/statistics.ts'
import { temporaryDirectory } from './lib/temporary-directory.ts'
import { startPostgres } from './lib/temporary-postgres.ts'

const { values: flags } = parseArgs({
  options: {
    postgres: { type: 'boolean', default: false },
    requests: { type: 'string', default: '2000' },
    connections: { type: 'string', default: '1' },
  },
})
const requests = Number(flags.requests)
const connections = Number(flags.connections)
const perTurn = 20

const directory = await temporaryDirectory('cache')
const server = flags.postgres ? await startPostgres() : undefined
const stele = await openStele({
  databaseUrl: server?.url ?? `sqlite:${join(directory.path, 'stele.db')}`,
  masterKey: Buffer.alloc(32, 1).toString('base64'),
  spoolFolder: join(directory.path, 'spool'),
})
const settings = resolveConfig({}, {})
const providers = createProviders(settings, stele)
const gateway = createGateway({ stele, providers, logger: pino({ level: 'silent' }), settings })
const address = await gateway.app.listen({ host: '127.0.0.1', port: 0 })
const { secret } = await stele.apiKeys.create({ userId: 'bench' })
const dispatcher = new Agent({ connections })

const leastWriter = new Worker(new URL('./lib/least-writer-thread.ts', import.meta.url), {
  workerData: join(directory.path, 'least.db'),
})
const waiting: (() => void)[] = []
leastWriter.on('message', () => waiting.shift()?.())
const least = Fastify()
least.post('/', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  waiting.push(resolve)
  leastWriter.postMessage('x'.repeat(200))
  await promise
  return { ok: true }
})
const leastAddress = await least.listen({ host: '127.0.0.1', port: 0 })

const prose = 'Some eighty words that a person might say to a model. '.repeat(8)
let count = 0
const chat = (said: string): string =>
  JSON.stringify({ model: 'echo', messages: [{ role: 'user', content: said }] })
const post = async (path: string, body: string, more: Record<string, string> = {}): Promise<string> => {
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json', ...more }
  const reply = await request(address + path, { dispatcher, method: 'POST', headers, body })
  const text = await reply.body.text()
  if (reply.statusCode !== 200) throw new Error(`${reply.statusCode} ${text}`)
  return String(reply.headers['x-stele-cache'] ?? '')
}

const ways = {
  /** Always other words: what is said twice would fork, and cost more. */
  echo: async () => void (await post('/v1/chat/completions', chat(`${prose} ${++count}`))),
  hit: async () => {
    const told = await post('/v1/chat/completions', chat(prose), { 'x-stele-cache': 'exact' })
    if (!told.startsWith('hit') && count > 0) throw new Error(`it is no hit: ${told}`)
  },
  floor: async () =>
    void (await post('/v1/responses/input_tokens', JSON.stringify({ model: 'echo', input: prose }))),
  least: async () => {
    const headers = { 'content-type': 'application/json' }
    const reply = await request(leastAddress, { dispatcher, method: 'POST', headers, body: chat(prose) })
    await reply.body.text()
  },
} as const
type Way = keyof typeof ways
const names = Object.keys(ways) as Way[]
const times: Record<Way, number[]> = { echo: [], hit: [], floor: [], least: [] }
const cpu: Record<Way, number> = { echo: 0, hit: 0, floor: 0, least: 0 }

const turn = async (way: Way): Promise<void> => {
  const before = process.cpuUsage()
  const one = async (): Promise<void> => {
    for (let i = 0; i < perTurn; i++) {
      const startedAt = performance.now()
      await ways[way]()
      times[way].push(performance.now() - startedAt)
    }
  }
  await Promise.all(Array.from({ length: connections }, one))
  const { user, system } = process.cpuUsage(before)
  cpu[way] += user + system
}

await ways.hit()
for (const way of names) for (let i = 0; i < 5; i++) await turn(way)
for (const way of names) {
  times[way].length = 0
  cpu[way] = 0
}
for (let round = 0; times.hit.length < requests; round++)
  for (const way of round % 2 === 0 ? names : names.toReversed()) await turn(way)

const shown = names.map(way => {
  const sorted = Float64Array.from(times[way]).sort()
  const at = (fraction: number): number => round(percentile(sorted, fraction))
  return { way, p10: at(0.1), p50: at(0.5), p90: at(0.9), cpu: Math.round(cpu[way] / times[way].length) }
})
table([
  ['', 'p10 ms', 'p50 ms', 'p90 ms', 'CPU µs'],
  ...shown.map(({ way, p10, p50, p90, cpu }) => [way, p10, p50, p90, cpu]),
])
const [echo, hit, , leastOfAll] = shown
if (echo === undefined || hit === undefined || leastOfAll === undefined)
  throw new Error('nothing was measured')
const goal = (echoTime: number): number => round(echoTime / 10 + 1)
say(`  goal: a tenth of the echo and 1 ms: ${goal(echo.p10)} at p10, ${goal(echo.p50)} at p50`)
printResult({
  bench: 'cache',
  database: flags.postgres ? 'postgres' : 'sqlite',
  connections,
  requests: times.hit.length,
  hit_to_echo: {
    p10: round(hit.p10 / echo.p10),
    p50: round(hit.p50 / echo.p50),
    cpu: round(hit.cpu / echo.cpu),
  },
  least_to_goal: {
    p10: round(leastOfAll.p10 / goal(echo.p10)),
    p50: round(leastOfAll.p50 / goal(echo.p50)),
  },
  hit_to_goal: { p10: round(hit.p10 / goal(echo.p10)), p50: round(hit.p50 / goal(echo.p50)) },
})

await dispatcher.close()
await least.close()
leastWriter.postMessage(undefined)
await once(leastWriter, 'exit')
await gateway.app.close()
await providers.close()
await stele.close()
await server?.stop()
await directory.remove()
