import OpenAI from 'openai'
import { expect, onTestFinished, test } from 'vitest'
import { serveProcess } from '../gateway/serve-process.ts'
import { begin, chatBody, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'

const apiKey = 'sk-test-0123456789abcdef'

/** Measures by how much this thread's timers came late, in milliseconds. */
function watchLag(): () => number {
  let longest = 0
  let last = performance.now()
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 10)
  onTestFinished(() => clearInterval(timer))
  return () => longest
}

test('a lock that is held too long is a clear error for all who wait, never blocks the thread, and loses nothing', {
  timeout: 60_000,
}, async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  await stele.recorder.start()
  const stranger = startChild('hold-lock.ts', place)
  expect(await stranger.next()).toBe('locked')
  const longestLag = watchLag()
  const started = performance.now()
  const waiting = ['ada', 'bob', 'eve', 'joe', 'kim'].map(name =>
    failure('store_unavailable', stele.users.create(name)),
  )
  const refused = await failure('store_unavailable', begin(stele, chatBody([user('q')])))
  for (const error of await Promise.all(waiting))
    expect(error.message).toContain('another process has locked')
  expect(refused.message).toMatch(/^The database is unavailable: another process has locked [^:]+$/)
  // All waited together: in turn it would have been a minute.
  expect(performance.now() - started).toBeGreaterThan(9_000)
  expect(performance.now() - started).toBeLessThan(25_000)
  expect(longestLag()).toBeLessThan(2_000)

  stranger.tell('go')
  expect(await stranger.next()).toBe('released')
  await stele.users.create('ada')
  await begin(stele, chatBody([user('q')]))
  expect(await countOf(stele, 'llm_requests')).toBe(1)
})

test('a gateway whose file is locked answers what needs no writing, and the call once the lock is gone', {
  timeout: 60_000,
}, async () => {
  const place = await sqlitePlace()
  const gateway = await serveProcess({ place, env: { STELE_API_KEY: apiKey, LOG_LEVEL: 'warn' } })
  const address = await gateway.address
  const client = new OpenAI({ apiKey, baseURL: `${address}/v1`, maxRetries: 0, timeout: 30_000 })
  const stranger = startChild('hold-lock.ts', place)
  expect(await stranger.next()).toBe('locked')
  let isAnswered = false
  const answer = client.chat.completions
    .create({ model: 'echo', messages: [{ role: 'user', content: 'hi' }] })
    .finally(() => {
      isAnswered = true
    })
  for (let turn = 0; turn < 20; turn++) {
    const signal = AbortSignal.timeout(5_000)
    expect((await fetch(`${address}/healthz`, { signal })).status).toBe(200)
    expect((await fetch(`${address}/readyz`, { signal })).status).toBe(200)
    // A key that was never seen is looked up in the file.
    const headers = { authorization: `Bearer sk-unknown-${turn}` }
    expect((await fetch(`${address}/v1/models`, { headers, signal })).status).toBe(401)
  }
  expect(isAnswered).toBe(false)
  stranger.tell('go')
  expect(await stranger.next()).toBe('released')
  expect((await answer).choices[0]?.message.content).toBe('hi')
  gateway.kill('SIGTERM')
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
})

test('a file that is locked against readers at the start is waited for', { timeout: 60_000 }, async () => {
  const place = await sqlitePlace()
  await (await place.stele()).close()
  const stranger = startChild('hold-lock.ts', place, { fromAll: true })
  expect(await stranger.next()).toBe('locked')
  const child = startChild('migrate.ts', place)
  expect(await child.next()).toBe('ready')
  child.tell('go')
  const said = child.next()
  const isFirst = await Promise.race([said.then(() => 'migrated'), stranger.ended(), waitFor(500)])
  expect(isFirst).toBe('waited')
  stranger.tell('go')
  expect(await stranger.next()).toBe('released')
  expect(await said).toEqual([])
})

/** Time to try, and to fail if it would not wait; nothing that holds depends on how long. */
function waitFor(milliseconds: number): Promise<string> {
  return new Promise(resolve => setTimeout(resolve, milliseconds, 'waited'))
}
