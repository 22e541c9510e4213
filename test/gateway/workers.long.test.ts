import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import OpenAI from 'openai'
import { expect, onTestFinished, test } from 'vitest'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import { startLoad } from '../../faults/load.ts'
import { Oracle } from '../../faults/oracle.ts'
import { startStandIn } from '../../faults/provider.ts'
import { madeUpShape } from '../../faults/shape.ts'
import { describeEachDatabase, type Place, sqlitePlace } from '../harness/databases.ts'
import { serveProcess } from './serve-process.ts'
import { type Answer, eventStream, silence, startUpstream } from './upstream.ts'
import { chunk, done, questionOf } from './wire.ts'

const apiKey = 'sk-test-0123456789abcdef'
const count = 2
const seed = 13

const clientOf = (address: string): OpenAI =>
  new OpenAI({ apiKey, baseURL: `${address}/v1`, maxRetries: 0, timeout: 30_000 })

async function startWorkers(place: Place, env: Record<string, string> = {}): Promise<GatewayProcess> {
  const args = ['--workers', String(count)]
  const gateway = await serveProcess({ place, args, env: { STELE_API_KEY: apiKey, ...env } })
  onTestFinished(() => {
    for (const pid of workersOf(gateway)) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  })
  await gateway.address
  await expect.poll(() => workersListening(gateway), { timeout: 30_000 }).toBe(count)
  return gateway
}

/** The processes that a gateway has started and not seen the end of, oldest first. */
function workersOf({ pid }: GatewayProcess): number[] {
  try {
    const said = execFileSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' })
    return said
      .trim()
      .split('\n')
      .map(Number)
      .sort((a, b) => a - b)
  } catch {
    return []
  }
}

/** A process id that is missing must not become 0, which is everyone. */
function kill(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) throw new Error('there is no such worker')
  process.kill(pid, signal)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

interface LogLine {
  readonly msg: string
  readonly worker?: number
  readonly pause?: number
}

const linesOf = (gateway: GatewayProcess): LogLine[] =>
  gateway
    .stderr()
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as LogLine)

const workersListening = (gateway: GatewayProcess): number =>
  linesOf(gateway).filter(({ msg }) => msg.startsWith('Server listening')).length

/** A stream that goes on when it is let. */
function heldStream(): { answer: Answer; release: () => void } {
  const held = Promise.withResolvers<void>()
  return {
    release: held.resolve,
    answer: async reply => {
      reply.head(200, eventStream)
      await reply.write(chunk({ role: 'assistant', content: 'once ' }))
      await held.promise
      reply.end(chunk({ content: 'upon' }, { finish: 'stop' }) + done)
    },
  }
}

describeEachDatabase('a gateway of several workers', bed => {
  test('announces itself once, with one first key, and every worker serves', {
    timeout: 60_000,
  }, async () => {
    const place = await bed.place()
    const gateway = await startWorkers(place, { STELE_API_KEY: '' })
    expect(gateway.stdout().match(/Stele is ready/g)).toHaveLength(1)
    expect(gateway.stdout()).toMatch(new RegExp(`^ {2}workers +${count}$`, 'm'))
    const keys = gateway.stdout().match(/^ {2}key +(sk-stele-\S+)/m)
    const address = await gateway.address
    for (let index = 0; index < 3 * count; index++) {
      // Each on a connection of its own: these are what is dealt out.
      const response = await fetch(`${address}/v1/chat/completions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${keys?.[1]}`,
          'content-type': 'application/json',
          connection: 'close',
        },
        body: JSON.stringify({ model: 'echo', messages: [{ role: 'user', content: `hello ${index}` }] }),
      })
      expect(response.status).toBe(200)
      await response.text()
    }
    gateway.kill('SIGTERM')
    expect(await gateway.ended).toEqual({ code: 0, signal: null })
    const served = linesOf(gateway).filter(({ msg }) => msg === 'call')
    expect(new Set(served.map(({ worker }) => worker)).size).toBe(count)
    const stele = await place.stele()
    expect(await stele.apiKeys.list()).toHaveLength(1)
    expect(await stele.calls.list()).toHaveLength(3 * count)
    expect(await stele.recorder.start()).toBe(0)
  })

  test('replaces a worker that was killed, later each time, and nothing is lost', {
    timeout: 90_000,
  }, async () => {
    const standIn = await startStandIn(seed)
    onTestFinished(() => standIn.close())
    const place = await bed.place()
    const gateway = await startWorkers(place, { OPENAI_BASE_URL: standIn.baseUrl })
    const address = await gateway.address
    const shape = madeUpShape(20)
    const at = () => address
    const load = startLoad({ seed, round: 1, address: at, apiKey, shape, leaveRate: 0, keyRate: 0 })
    onTestFinished(() => load.stop())
    for (const [round, asked] of [30, 60, 90].entries()) {
      await load.started(asked)
      kill(workersOf(gateway).at(-1), 'SIGKILL')
      await expect.poll(() => workersListening(gateway), { timeout: 30_000 }).toBe(count + round + 1)
    }
    await load.stop()
    expect(workersOf(gateway)).toHaveLength(count)
    gateway.kill('SIGTERM')
    expect(await gateway.ended).toEqual({ code: 0, signal: null })
    expect(linesOf(gateway).flatMap(({ pause }) => pause ?? [])).toEqual([100, 200, 400])

    const stele = await place.stele()
    await stele.recorder.start()
    const { asked } = load
    expect(await new Oracle().checkRound(stele, { asked, served: standIn.takeJournal() })).toEqual([])
    expect(asked.filter(({ reply }) => reply !== undefined).length).toBeGreaterThan(50)
    for (const { status } of await stele.calls.list({ limit: 100_000 }))
      expect(['completed', 'orphaned', 'aborted']).toContain(status)
  })

  test('at Ctrl-C, which reaches every process, lets running replies end within their time and exits with 0', {
    timeout: 60_000,
  }, async () => {
    const { answer, release } = heldStream()
    const upstream = await startUpstream(answer, silence)
    const place = await bed.place()
    const env = { OPENAI_BASE_URL: upstream.baseUrl, STELE_SHUTDOWN_TIMEOUT: '4' }
    const gateway = await startWorkers(place, env)
    const address = await gateway.address
    const stream = clientOf(address).chat.completions.stream({ ...questionOf('first'), stream: true })
    await stream.emitted('chunk')
    const endless = clientOf(address)
      .chat.completions.create(questionOf('second'))
      .catch((error: unknown) => error)
    await upstream.received(1)
    for (const pid of [gateway.pid, ...workersOf(gateway)]) process.kill(pid, 'SIGINT')
    await expect
      .poll(() =>
        fetch(`${address}/healthz`).then(
          ({ status }) => String(status),
          () => 'refused',
        ),
      )
      .toMatch(/503|refused/)
    release()
    expect((await stream.finalChatCompletion()).choices[0]?.message.content).toBe('once upon')
    expect(await endless).toMatchObject({ status: 503, code: 'shutting_down' })
    expect(await gateway.ended).toEqual({ code: 0, signal: null })
    const stele = await place.stele()
    expect((await stele.calls.list()).map(({ status }) => status).sort()).toEqual(['aborted', 'completed'])
    expect(await stele.recorder.start()).toBe(0)
  })

  test('whose first process is killed leaves none behind: its workers end their replies and themselves', {
    timeout: 60_000,
  }, async () => {
    const { answer, release } = heldStream()
    const upstream = await startUpstream(answer)
    const place = await bed.place()
    const gateway = await startWorkers(place, { OPENAI_BASE_URL: upstream.baseUrl })
    const client = clientOf(await gateway.address)
    const stream = client.chat.completions.stream({ ...questionOf('first'), stream: true })
    await stream.emitted('chunk')
    const workers = workersOf(gateway)
    expect(workers).toHaveLength(count)
    process.kill(gateway.pid, 'SIGKILL')
    // All but the one that has a reply to end.
    await expect.poll(() => workers.filter(isAlive).length, { timeout: 20_000 }).toBe(1)
    release()
    expect((await stream.finalChatCompletion()).choices[0]?.message.content).toBe('once upon')
    await expect.poll(() => workers.filter(isAlive).length, { timeout: 20_000 }).toBe(0)
    const stele = await place.stele()
    expect((await stele.calls.list()).map(({ status }) => status)).toEqual(['completed'])
    expect(await stele.recorder.start()).toBe(0)
  })
})

test('a worker that does not stop is killed when its time is up, and the exit code says so', {
  timeout: 60_000,
}, async () => {
  const gateway = await startWorkers(await sqlitePlace(), { STELE_SHUTDOWN_TIMEOUT: '0', LOG_LEVEL: 'info' })
  const [stuck] = workersOf(gateway)
  kill(stuck, 'SIGSTOP')
  gateway.kill('SIGTERM')
  expect(await gateway.ended).toEqual({ code: 1, signal: null })
  expect(isAlive(stuck ?? 0)).toBe(false)
  expect(gateway.stderr()).toMatch(/^stele: A worker process did not stop in time and was killed/m)
})

test('what keeps workers from starting is told once, in one line, with exit code 1', {
  timeout: 60_000,
}, async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  onTestFinished(() => void other.close())
  const { port } = other.address() as AddressInfo
  const faults: [env: Record<string, string>, said: string][] = [
    [
      { PORT: String(port) },
      `stele: Cannot listen on 127.0.0.1:${port}: the port is taken; choose another with PORT or --port\n`,
    ],
    [
      { DATABASE_URL: 'postgres://u:sekret@127.0.0.1:1/x' },
      'stele: The database is unavailable: connect ECONNREFUSED 127.0.0.1:1\n',
    ],
    [
      { DATABASE_URL: 'sqlite::memory:' },
      'stele: The configuration is not valid:\n  workers: only one can work on a database in memory\n',
    ],
  ]
  for (const [env, said] of faults) {
    const gateway = await serveProcess({ place: await sqlitePlace(), env: { STELE_WORKERS: '4', ...env } })
    expect(await gateway.ended).toEqual({ code: 1, signal: null })
    expect({ stdout: gateway.stdout(), stderr: gateway.stderr() }).toEqual({ stdout: '', stderr: said })
  }
})
