import type OpenAI from 'openai'
import { expect, test } from 'vitest'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import type { Stele } from '../../src/stele.ts'
import { serveProcess } from '../gateway/serve-process.ts'
import { startUpstream } from '../gateway/upstream.ts'
import { type Place, postgresPlace, sqlitePlace } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { answerWithMark, type Load, startLoad } from './load.ts'
import { expectTruth, expectUsage, expectWholeConversations } from './truth.ts'

const apiKey = 'sk-test-0123456789abcdef'

const databases: [name: string, place: () => Promise<Place>, gateways: number][] = [
  ['SQLite', sqlitePlace, 2],
  ['PostgreSQL', postgresPlace, 4],
]

/** Gateways on one place behind a load balancer: each call of a client goes to the next of them. */
async function startGateways(place: Place, count: number) {
  const upstream = await startUpstream(answerWithMark)
  const env = { OPENAI_BASE_URL: upstream.baseUrl, STELE_API_KEY: apiKey, LOG_LEVEL: 'warn' }
  const start = () => serveProcess({ place, env })
  // All at once, on a database that none of them has made yet.
  const gateways = await Promise.all(Array.from({ length: count }, start))
  const addresses = await Promise.all(gateways.map(({ address }) => address))
  return { upstream, gateways, addresses, start }
}

test.each(databases)(
  'gateways on one %s database lose and double nothing when one is killed, and the others settle what it left',
  { timeout: 90_000 },
  async (_, place, count) => {
    const at = await place()
    const { upstream, gateways, addresses } = await startGateways(at, count)
    const load = startLoad({ addresses, apiKey, clients: 16, turns: 4, isSteadfast: true })
    await load.ended(80)
    gateways[0]?.kill('SIGKILL')
    expect((await gateways[0]?.ended)?.signal).toBe('SIGKILL')
    await load.ended(200)
    await load.stop()

    const stele = await at.stele()
    const open = async (): Promise<number> =>
      (await rowsOf(stele, 'llm_requests')).length - (await rowsOf(stele, 'llm_responses')).length
    await expect.poll(open, { timeout: 20_000 }).toBe(0)
    await endAll(gateways.slice(1))
    expect([...(await expectTruth(stele, upstream, load.asked))].sort()).toEqual(['completed', 'orphaned'])
    await expectUsage(stele)
    await expectWholeConversations(stele)
    await expectNoForks(stele)
  },
)

test.each(databases)(
  'gateways on one %s database are restarted one after the other without a call being lost',
  { timeout: 120_000 },
  async (_, place, count) => {
    const at = await place()
    const { upstream, gateways, addresses, start } = await startGateways(at, count)
    const load = startLoad({ addresses, apiKey, clients: 12, turns: 4, isSteadfast: true })
    for (const [index, gateway] of gateways.entries()) {
      await load.ended((index + 1) * 40)
      gateway.kill('SIGTERM')
      expect(await gateway.ended).toEqual({ code: 0, signal: null })
      const next = await start()
      addresses[index] = await next.address
      gateways[index] = next
    }
    await load.ended(count * 40 + 80)
    await load.stop()
    await endAll(gateways)

    const stele = await at.stele()
    const statuses = await expectTruth(stele, upstream, load.asked)
    expect([...statuses]).toEqual(['completed'])
    expect(await repliesLost(stele, load)).toEqual([])
    await expectUsage(stele)
    await expectWholeConversations(stele)
    await expectNoForks(stele)
  },
)

test.each(databases)(
  'racing continuations of one conversation through different gateways on %s fork once each but for the first',
  { timeout: 60_000 },
  async (_, place, count) => {
    const at = await place()
    const { addresses } = await startGateways(at, count)
    const OpenAi = (await import('openai')).default
    const clients = addresses.map(address => new OpenAi({ apiKey, baseURL: `${address}/v1`, maxRetries: 0 }))
    const rounds = 10
    for (let round = 0; round < rounds; round++) {
      const first: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: `mark-0-0-${round}-1` }]
      const answer = await ask(clients[round % count], first)
      await Promise.all(
        clients.map((client, index) =>
          ask(client, [
            ...first,
            { role: 'assistant', content: answer },
            { role: 'user', content: `mark-0-${index}-${round}-2` },
          ]),
        ),
      )
    }
    const stele = await at.stele()
    await expectWholeConversations(stele)
    const conversations = await rowsOf(stele, 'conversations')
    const forks = conversations.filter(row => row.parent_id !== null)
    expect(conversations.length - forks.length).toBe(rounds)
    expect(forks).toHaveLength(rounds * (count - 1))
    expect(new Set(forks.map(row => row.parent_seq))).toEqual(new Set([1]))
  },
)

async function ask(
  client: OpenAI | undefined,
  messages: OpenAI.ChatCompletionMessageParam[],
): Promise<string> {
  const answer = await client?.chat.completions.create({ model: 'm', messages, user: 'ada' })
  return answer?.choices[0]?.message.content ?? ''
}

async function endAll(gateways: readonly GatewayProcess[]): Promise<void> {
  for (const gateway of gateways) gateway.kill('SIGTERM')
  for (const gateway of gateways) expect(await gateway.ended).toEqual({ code: 0, signal: null })
}

/** Every continuation said what its conversation held, wherever its gateway read it. */
async function expectNoForks(stele: Stele): Promise<void> {
  const conversations = await rowsOf(stele, 'conversations')
  expect(conversations.filter(row => row.parent_id !== null)).toEqual([])
}

/** Marks of calls that are recorded as completed and whose client did not get the reply. */
async function repliesLost(stele: Stele, load: Load): Promise<string[]> {
  const received = new Set(load.asked.filter(({ reply }) => reply !== undefined).map(({ callId }) => callId))
  return (await stele.calls.list({ limit: 100_000 })).map(({ id }) => id).filter(id => !received.has(id))
}
