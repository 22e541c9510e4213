import { performance } from 'node:perf_hooks'
import { expect, test } from 'vitest'
import { createCounts } from '../../src/telemetry/prometheus.ts'
import { completion, user } from '../harness/chat.ts'
import { compare, question } from './comparing.ts'
import { type Running, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'
import { questionOf } from './wire.ts'

async function metricsOf(running: Running, headers: Record<string, string> = {}): Promise<string> {
  const reply = await running.send('GET', '/metrics', { headers })
  expect(reply.status).toBe(200)
  return reply.text
}

test('calls are counted by provider, model and how they ended; what clients make up is one model', async () => {
  const upstream = await startUpstream(json(completion('a secret')))
  const running = await startGateway({ upstream, provider: { models: ['gpt-test'] } })
  await metricsOf(running)
  await running.post(questionOf('a secret', { model: 'gpt-test' }))
  const text = await metricsOf(running)
  const labels = 'provider="test",model="gpt-test"'
  expect(text).toContain(`stele_calls_total{${labels},outcome="completed"} 1\n`)
  expect(text).toContain(`stele_tokens_total{${labels},type="input"} 10\n`)
  expect(text).toContain(`stele_unpriced_calls_total{${labels}} 1\n`)
  expect(text).toMatch(/stele_call_duration_seconds_count\{provider="test",model="gpt-test"\} 1\n/)
  expect(text).toContain('stele_breaker_state{provider="test"} 0\n')
  expect(text).toMatch(/stele_commit_operations_count [1-9]/)
  expect(text).toContain('stele_queue_length 0\n')
  expect(text).not.toMatch(/a secret|ada|key_/)
})

test('a call that fails is counted with its code, and no name that a client makes up is a label', async () => {
  const upstream = await startUpstream(json({ error: { message: 'no' } }, { status: 500 }))
  const running = await startGateway({ upstream, provider: { models: ['gpt-test'] } })
  await metricsOf(running)
  upstream.answer(json(completion('said')), json({ error: { message: 'no' } }, { status: 500 }))
  await running.post(questionOf('q', { model: 'made-up' }))
  await running.post(questionOf('q', { model: 'made-up' }))
  const text = await metricsOf(running)
  expect(text).toContain('stele_calls_total{provider="test",model="other",outcome="failed"} 1\n')
  expect(text).toContain('stele_upstream_errors_total{provider="test",code="provider_error"} 1\n')
  expect(text).not.toContain('made-up')
})

test('a reply from the cache is a call that cost nothing, and no sign of how fast a provider is', async () => {
  const upstream = await startUpstream(json(completion('said')))
  const running = await startGateway({
    upstream,
    provider: { models: ['gpt-test'] },
    config: { cacheMode: 'exact' },
  })
  await metricsOf(running)
  await running.post(questionOf('q', { model: 'gpt-test' }))
  const again = await running.post(questionOf('q', { model: 'gpt-test' }))
  expect(again.headers['x-stele-cache']).toMatch(/^hit/)
  const text = await metricsOf(running)
  const labels = 'provider="test",model="gpt-test"'
  expect(text).toContain(`stele_calls_total{${labels},outcome="cached"} 1\n`)
  expect(text).toContain(`stele_calls_total{${labels},outcome="completed"} 1\n`)
  expect(text).toContain(`stele_tokens_total{${labels},type="input"} 10\n`)
  expect(text).toContain(`stele_unpriced_calls_total{${labels}} 1\n`)
  expect(text).toContain(`stele_cost_dollars_total{${labels}} 0\n`)
  expect(text).toContain(`stele_call_duration_seconds_count{${labels}} 1\n`)
})

test('what an application records in the same process is counted, once; the cost of compared calls too', async () => {
  const upstream = await startUpstream(json(completion('said')))
  const prices = [{ model: 'gpt-*', perCall: 0.5 }]
  const running = await startGateway({
    upstream,
    provider: { models: ['gpt-a', 'gpt-b'] },
    config: { prices },
  })
  await metricsOf(running)
  const interaction = { userId: 'ada', model: 'gpt-a', messages: [user('a secret')], responseText: 'said' }
  const saved = { ...interaction, provider: 'test', inputTokens: 7, latencyMs: 80 }
  const { callId } = await running.stele.saveInteraction(saved)
  await running.stele.saveInteraction({ ...saved, callId })
  await compare(running, question({ models: ['gpt-a', 'gpt-b'] }))
  const text = await metricsOf(running)
  expect(text).toContain('stele_calls_total{provider="test",model="gpt-a",outcome="completed"} 2\n')
  expect(text).toContain('stele_tokens_total{provider="test",model="gpt-a",type="input"} 17\n')
  expect(text).toContain('stele_cost_dollars_total{provider="test",model="gpt-a"} 1\n')
  expect(text).toContain('stele_cost_dollars_total{provider="test",model="gpt-b"} 0.5\n')
  expect(text).not.toMatch(/stele_unpriced_calls_total\{/)
  expect(text).not.toContain('a secret')
})

test('the number of models told apart is bounded, and counting a call costs microseconds', () => {
  const counts = createCounts()
  counts.learn(
    'p',
    Array.from({ length: 5_000 }, (_, index) => `m${index}`),
  )
  const call = {
    callId: 'c',
    conversationId: undefined,
    provider: 'p',
    address: undefined,
    operation: 'chat',
  }
  const end = {
    status: 'completed',
    latencyMs: 5,
    timeToFirstChunkMs: 1,
    reply: { finishReasons: [], usage: { inputTokens: 1, outputTokens: 1 } },
  } as const
  const startedAt = performance.now()
  for (let index = 0; index < 5_000; index++)
    counts.watch({ ...call, model: `m${index}`, traceHeaders: undefined })(end)
  const micros = ((performance.now() - startedAt) / 5_000) * 1_000
  expect(micros).toBeLessThan(500)
  for (let index = 0; index < 1_000; index++)
    counts.watch({ ...call, provider: `p${index}`, model: 'm', traceHeaders: undefined })({
      ...{ status: 'failed', errorCode: `code ${index}`, latencyMs: undefined },
    })
  return counts.registry.getMetricsAsJSON().then(figures => {
    const valuesOf = (name: string) =>
      (figures.find(one => one.name === name) as { values?: unknown[] }).values
    expect(valuesOf('stele_calls_total')).toHaveLength(401)
    expect(valuesOf('stele_upstream_errors_total')).toHaveLength(200)
  })
})

test('figures are told to this machine, not through a proxy; or to whoever has the token; or to nobody', async () => {
  const local = await startGateway({})
  await metricsOf(local)
  for (const name of ['x-forwarded-for', 'forwarded']) {
    const headers = { [name]: name === 'forwarded' ? 'for=10.0.0.1' : '10.0.0.1' }
    expect((await local.send('GET', '/metrics', { headers })).status).toBe(403)
  }
  const token = 'a-token-of-my-own'
  const guarded = await startGateway({ config: { metricsToken: token } })
  for (const authorization of [undefined, `Bearer ${token}x`, token, `Bearer ${guarded.key}`]) {
    const headers = authorization === undefined ? {} : { authorization }
    expect((await guarded.send('GET', '/metrics', { headers })).status).toBe(401)
  }
  await metricsOf(guarded, { authorization: `Bearer ${token}`, 'x-forwarded-for': '10.0.0.1' })
  const open = await startGateway({ config: { metrics: 'open' } })
  await metricsOf(open, { 'x-forwarded-for': '10.0.0.1' })
  const off = await startGateway({ config: { metrics: 'off' } })
  expect((await off.send('GET', '/metrics')).status).toBe(404)
})
