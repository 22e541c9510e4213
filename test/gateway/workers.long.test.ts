import { expect, onTestFinished, test } from 'vitest'
import { startLoad } from '../../faults/load.ts'
import { Oracle } from '../../faults/oracle.ts'
import { startStandIn } from '../../faults/provider.ts'
import { madeUpShape } from '../../faults/shape.ts'
import { describeEachDatabase, sqlitePlace } from '../harness/databases.ts'
import { startUpstream } from './upstream.ts'
import { questionOf } from './wire.ts'
import {
  apiKey,
  clientOf,
  count,
  heldStream,
  isAlive,
  kill,
  linesOf,
  startWorkers,
  workersListening,
  workersOf,
} from './worker-processes.ts'

const seed = 13

describeEachDatabase('a gateway of several workers', bed => {
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
