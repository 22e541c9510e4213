import { expect, test } from 'vitest'
import { sqlitePlace } from '../harness/databases.ts'
import { serveProcess } from './serve-process.ts'
import { questionOf } from './wire.ts'

const apiKey = 'sk-test-0123456789abcdef'

test('whichever worker is asked for figures tells those of all', async () => {
  const place = await sqlitePlace()
  const gateway = await serveProcess({ place, args: ['--workers', '2'], env: { STELE_API_KEY: apiKey } })
  const address = await gateway.address
  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${address}${path}`, {
      ...init,
      headers: { connection: 'close', 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
    })
  await ask('/metrics')
  await ask('/metrics')
  const count = 6
  for (let index = 0; index < count; index++) {
    const body = JSON.stringify({ ...questionOf(`q${index}`), model: 'echo' })
    expect((await ask('/v1/chat/completions', { method: 'POST', body })).status).toBe(200)
  }
  const told = new Set<string>()
  // A process that has not been asked yet for its figures knows no models: it says `other`.
  const figures = async (): Promise<number> => {
    const text = await (await ask('/metrics')).text()
    const memory = /^process_resident_memory_bytes .*$/m.exec(text)?.[0]
    if (memory !== undefined) told.add(memory)
    const counts = text.matchAll(/^stele_calls_total\{.*outcome="completed"\} (\d+)$/gm)
    return [...counts].reduce((sum, [, own]) => sum + Number(own), 0)
  }
  // The second worker may just be starting; once it is there, connections are dealt out in turn.
  for (let index = 0; index < 4; index++) await expect.poll(figures, { timeout: 20_000 }).toBe(count)
  expect(told.size).toBeGreaterThan(0)
  gateway.kill('SIGTERM')
  expect(await gateway.ended).toMatchObject({ code: 0 })
})
