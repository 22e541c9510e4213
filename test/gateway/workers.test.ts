import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { describeEachDatabase, sqlitePlace } from '../harness/databases.ts'
import { serveProcess } from './serve-process.ts'
import { silence, startUpstream } from './upstream.ts'
import { questionOf } from './wire.ts'
import { clientOf, count, heldStream, linesOf, startWorkers, workersOf } from './worker-processes.ts'

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
