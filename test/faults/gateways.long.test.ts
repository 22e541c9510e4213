import { Agent } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import { ask, type Gateway } from '../../faults/ask.ts'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import type { Asked } from '../../faults/journal.ts'
import { type Load, startLoad } from '../../faults/load.ts'
import { markText } from '../../faults/marks.ts'
import { Oracle } from '../../faults/oracle.ts'
import { type StandIn, startStandIn } from '../../faults/provider.ts'
import { randomOf } from '../../faults/random.ts'
import { contentOf } from '../../faults/replies.ts'
import { madeUpShape } from '../../faults/shape.ts'
import type { Stele } from '../../src/stele.ts'
import { serveProcess } from '../gateway/serve-process.ts'
import { type Place, postgresPlace, sqlitePlace } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'

const apiKey = 'sk-test-0123456789abcdef'
const seed = 11

const databases: [name: string, place: () => Promise<Place>, gateways: number][] = [
  ['SQLite', sqlitePlace, 2],
  ['PostgreSQL', postgresPlace, 3],
]

interface Gateways {
  readonly standIn: StandIn
  readonly processes: GatewayProcess[]
  readonly addresses: readonly string[]
  startAt(index: number): Promise<void>
}

async function startGateways(place: Place, count: number): Promise<Gateways> {
  const standIn = await startStandIn(seed)
  onTestFinished(() => standIn.close())
  const env = { OPENAI_BASE_URL: standIn.baseUrl, STELE_API_KEY: apiKey, LOG_LEVEL: 'warn' }
  const processes: GatewayProcess[] = []
  const addresses: string[] = []
  const startAt = async (index: number): Promise<void> => {
    const started = await serveProcess({ place, env })
    processes[index] = started
    addresses[index] = await started.address
  }
  // All at once, on a database that none of them has made yet.
  await Promise.all(Array.from({ length: count }, (_, index) => startAt(index)))
  return { standIn, processes, startAt, addresses }
}

/** Clients behind a load balancer: each call goes to one of the gateways, whichever answered the one before. */
function startClients({ addresses }: Gateways): Load {
  const random = randomOf(seed, 'balancer')
  const address = () => addresses[random.integer(0, addresses.length - 1)]
  const shape = madeUpShape(30)
  const load = startLoad({ seed, round: 1, address, apiKey, shape, leaveRate: 0, keyRate: 0.2 })
  onTestFinished(() => load.stop())
  return load
}

async function endAll(processes: readonly GatewayProcess[]): Promise<void> {
  for (const gateway of processes) gateway.kill('SIGTERM')
  for (const gateway of processes) expect(await gateway.ended).toEqual({ code: 0, signal: null })
}

/** What clients and provider saw is what is recorded. Returns how the calls ended. */
async function expectTruth(
  stele: Stele,
  oracle: Oracle,
  standIn: StandIn,
  asked: readonly Asked[],
): Promise<ReadonlySet<string>> {
  expect(await oracle.checkRound(stele, { asked, served: standIn.takeJournal() })).toEqual([])
  // A load of which nothing was answered would prove nothing.
  expect(asked.filter(({ reply }) => reply !== undefined).length).toBeGreaterThan(50)
  return new Set((await stele.calls.list({ limit: 100_000 })).map(({ status }) => status))
}

test.each(databases)(
  'gateways on one %s database lose and double nothing when one is killed, and the others settle what it left',
  { timeout: 90_000 },
  async (_, place, count) => {
    const at = await place()
    const gateways = await startGateways(at, count)
    // Slow enough that the kill finds calls under way.
    gateways.standIn.setWeather({ rate: 0.9, faults: ['slow'] })
    const load = startClients(gateways)
    await load.started(60)
    const [first, ...others] = gateways.processes
    first?.kill('SIGKILL')
    expect((await first?.ended)?.signal).toBe('SIGKILL')
    await load.started(150)
    await load.stop()

    const stele = await at.stele()
    const open = async (): Promise<number> =>
      (await rowsOf(stele, 'llm_requests')).length - (await rowsOf(stele, 'llm_responses')).length
    await expect.poll(open, { timeout: 20_000 }).toBe(0)
    await endAll(others)
    expect([...(await expectTruth(stele, new Oracle(), gateways.standIn, load.asked))].sort()).toEqual([
      'completed',
      'orphaned',
    ])
  },
)

test.each(databases)(
  'racing continuations through gateways on one %s database fork once each but for the first, and restarts one after the other lose no call',
  { timeout: 120_000 },
  async (_, place, count) => {
    const at = await place()
    const gateways = await startGateways(at, count)
    const stele = await at.stele()
    const oracle = new Oracle()
    await expectForks(stele, oracle, gateways)

    const load = startClients(gateways)
    for (const index of gateways.processes.keys()) {
      await load.started(index * 50 + 40)
      gateways.processes[index]?.kill('SIGTERM')
      expect(await gateways.processes[index]?.ended).toEqual({ code: 0, signal: null })
      await gateways.startAt(index)
    }
    await load.started(count * 50 + 60)
    await load.stop()
    await endAll(gateways.processes)

    expect([...(await expectTruth(stele, oracle, gateways.standIn, load.asked))]).toEqual(['completed'])
    const answered = load.asked.filter(({ reply }) => reply !== undefined)
    const received = new Set(answered.map(({ callId }) => callId))
    const recorded = (await stele.calls.list({ limit: 100_000 })).map(({ id }) => id)
    expect(recorded.slice(0, -racing(count)).filter(id => !received.has(id))).toEqual([])
  },
)

const races = 8

/** Calls made by races between so many gateways. */
const racing = (count: number): number => races * (count + 1)

/** Lets every gateway continue one conversation at the same moment, in a race after the other. */
async function expectForks(stele: Stele, oracle: Oracle, { addresses, standIn }: Gateways): Promise<void> {
  const count = addresses.length
  const dispatcher = new Agent()
  onTestFinished(() => dispatcher.destroy())
  let calls = 0
  const gateway: Gateway = { address: () => addresses[calls++ % count], apiKey, dispatcher }
  const asked: Asked[] = []
  const tell = async (mark: string, history: readonly object[]): Promise<void> => {
    const body = JSON.stringify({
      model: 'm',
      user: 'ada',
      messages: [...history, { role: 'user', content: mark }],
    })
    const question = {
      mark,
      user: 'ada',
      body,
      isStream: false,
      hidesUsage: false,
      idempotencyKey: undefined,
    }
    // What is said next is told by everyone in another way.
    const told = { ...question, retells: true }
    asked.push({ ...told, ...(await ask({ ...told, leaves: undefined }, gateway)), other: undefined })
  }
  for (let conversation = 0; conversation < races; conversation++) {
    const markAt = (turn: number): string => markText({ round: 0, conversation, turn, replyTokens: 20 })
    const first = markAt(0)
    await tell(first, [])
    const history = [
      { role: 'user', content: first },
      { role: 'assistant', content: contentOf(first) },
    ]
    await Promise.all(Array.from({ length: count }, (_, index) => tell(markAt(index + 1), history)))
  }
  const served = standIn.takeJournal()
  expect(await oracle.checkRound(stele, { asked, served })).toEqual([])
  expect(asked.filter(({ reply }) => reply !== undefined)).toHaveLength(racing(count))
  const conversations = await rowsOf(stele, 'conversations')
  const forks = conversations.filter(row => row.parent_id !== null)
  expect(conversations.length - forks.length).toBe(races)
  expect(forks).toHaveLength(races * (count - 1))
  expect(new Set(forks.map(row => row.parent_seq))).toEqual(new Set([1]))
}
