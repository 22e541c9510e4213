import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Context,
  context,
  metrics,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { expect, onTestFinished, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import { begin, chatBody, completion, user } from '../harness/chat.ts'
import { memoryPlace } from '../harness/databases.ts'
import { compare } from './comparing.ts'
import { startGateway } from './running.ts'
import { type Answer, json, startUpstream } from './upstream.ts'
import { questionOf } from './wire.ts'

/** What an application does that wants to see what Stele does. */
function registerSdk() {
  const spans = new InMemorySpanExporter()
  const figures = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: figures, exportIntervalMillis: 3_600_000 })
  const meters = new MeterProvider({ readers: [reader] })
  trace.setGlobalTracerProvider(
    new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spans })] }),
  )
  metrics.setGlobalMeterProvider(meters)
  const contexts = new AsyncLocalStorage<Context>()
  context.setGlobalContextManager({
    active: () => contexts.getStore() ?? ROOT_CONTEXT,
    with: (inner, work, self, ...given) => contexts.run(inner, () => work.call(self as never, ...given)),
    bind: (_, work) => work,
    enable() {
      return this
    },
    disable() {
      return this
    },
  })
  onTestFinished(async () => {
    trace.disable()
    metrics.disable()
    context.disable()
    await meters.shutdown()
  })
  return {
    spans: () => spans.getFinishedSpans(),
    async points() {
      await meters.forceFlush()
      const all =
        figures
          .getMetrics()
          .at(-1)
          ?.scopeMetrics.flatMap(scope => scope.metrics) ?? []
      return all.map(({ descriptor, dataPoints }) => ({
        name: descriptor.name,
        unit: descriptor.unit,
        dataPoints,
      }))
    },
  }
}

async function ask(answer: Answer, headers: Record<string, string> = {}) {
  const upstream = await startUpstream(answer)
  const running = await startGateway({ upstream })
  const reply = await running.post(questionOf('a secret', { model: 'gpt-test' }), headers)
  return { running, reply, port: Number(new URL(upstream.baseUrl).port) }
}

test('a call is a span with the names of the GenAI conventions, a part of what its client traces', async () => {
  const sdk = registerSdk()
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const { reply, port } = await ask(json(completion('another secret')), {
    traceparent: `00-${traceId}-b7ad6b7169203331-01`,
  })
  expect(reply.status).toBe(200)
  const [span, ...others] = sdk.spans()
  expect(others).toEqual([])
  expect(span).toMatchObject({
    name: 'chat gpt-test',
    kind: SpanKind.CLIENT,
    parentSpanContext: { traceId, spanId: 'b7ad6b7169203331' },
    status: { code: SpanStatusCode.UNSET },
  })
  expect(span?.spanContext().traceId).toBe(traceId)
  expect(span?.attributes).toEqual({
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'test',
    'gen_ai.request.model': 'gpt-test',
    'server.address': '127.0.0.1',
    'server.port': port,
    'stele.call.id': reply.headers['x-stele-call-id'],
    'gen_ai.conversation.id': reply.headers['x-stele-conversation'],
    'gen_ai.response.model': 'test-model-2026',
    'gen_ai.response.id': 'chatcmpl-1',
    'gen_ai.response.finish_reasons': ['stop'],
    'gen_ai.usage.input_tokens': 10,
    'gen_ai.usage.output_tokens': 5,
  })
  const points = await sdk.points()
  expect(points.map(({ name, unit }) => [name, unit]).sort()).toEqual([
    ['gen_ai.client.operation.duration', 's'],
    ['gen_ai.client.token.usage', '{token}'],
  ])
  const tokens = points.find(({ name }) => name.endsWith('usage'))?.dataPoints
  expect(tokens?.map(point => [point.attributes['gen_ai.token.type'], point.value])).toMatchObject([
    ['input', { sum: 10, count: 1 }],
    ['output', { sum: 5, count: 1 }],
  ])
  const told = JSON.stringify([span?.attributes, span?.events, points])
  expect(told).not.toMatch(/secret|ada/)
})

test('a call that fails is a span that failed, with the code of the failure; a malformed parent is none', async () => {
  const sdk = registerSdk()
  await ask(json({ error: { message: 'a secret' } }, { status: 500 }), { traceparent: '00-nonsense' })
  const [span] = sdk.spans()
  expect(span).toMatchObject({ status: { code: SpanStatusCode.ERROR } })
  expect(span?.parentSpanContext).toBeUndefined()
  expect(span?.attributes).toMatchObject({ 'error.type': 'provider_error' })
  const [duration] = (await sdk.points()).filter(({ name }) => name.endsWith('duration'))
  expect(duration?.dataPoints[0]?.attributes).toMatchObject({ 'error.type': 'provider_error' })
  expect(JSON.stringify([span?.attributes, span?.status])).not.toContain('a secret')
})

test('what an application records is a span that began when the call did, a part of what it traces; once', async () => {
  const sdk = registerSdk()
  const stele = await (await memoryPlace()).stele()
  const callId = newId('call')
  const interaction = {
    ...{ callId, userId: 'ada', provider: 'openai', model: 'gpt-4o', messages: [user('a secret')] },
    ...{ responseText: 'another secret', inputTokens: 10, outputTokens: 5, latencyMs: 2_000 },
  }
  const outer = trace.getTracer('application').startSpan('work')
  await context.with(trace.setSpan(context.active(), outer), () => stele.saveInteraction(interaction))
  await stele.saveInteraction(interaction)
  const [span, ...others] = sdk.spans()
  expect(others).toEqual([])
  expect(span).toMatchObject({ name: 'chat gpt-4o', kind: SpanKind.CLIENT })
  expect(span?.parentSpanContext?.spanId).toBe(outer.spanContext().spanId)
  expect(span?.duration).toEqual([2, 0])
  expect(span?.attributes).toMatchObject({
    'gen_ai.provider.name': 'openai',
    'gen_ai.usage.input_tokens': 10,
    'stele.call.id': callId,
  })
  const begun = await begin(stele, chatBody([user('Hi')], { model: 'gpt-4o' }))
  await stele.recorder.settle(begun, { status: 'failed', errorCode: 'provider_timeout', isAsked: true })
  expect(sdk.spans()[1]?.attributes).toMatchObject({ 'error.type': 'provider_timeout' })
  const points = await sdk.points()
  const sums = points.flatMap(({ name, dataPoints }) => dataPoints.map(({ value }) => [name, value]))
  expect(sums).toMatchObject([
    ['gen_ai.client.operation.duration', { sum: 2, count: 1 }],
    ['gen_ai.client.token.usage', { sum: 10, count: 1 }],
    ['gen_ai.client.token.usage', { sum: 5, count: 1 }],
  ])
  expect(JSON.stringify([span?.attributes, span?.events, points])).not.toMatch(/secret|ada/)
})

test('a cached reply is a span of its own and in no metric; compared calls are one span each', async () => {
  const sdk = registerSdk()
  const upstream = await startUpstream(json(completion('said')))
  const running = await startGateway({ upstream, config: { cacheMode: 'exact' } })
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` }
  await running.post(questionOf('q', { model: 'gpt-test' }))
  const again = await running.post(questionOf('q', { model: 'gpt-test' }), headers)
  const [asked, cached] = sdk.spans()
  expect(asked?.attributes).not.toHaveProperty('stele.cached')
  expect(cached?.spanContext().traceId).toBe(traceId)
  expect(cached?.attributes).toMatchObject({
    'stele.cached': true,
    'stele.call.id': again.headers['x-stele-call-id'],
    'gen_ai.request.model': 'gpt-test',
  })
  await compare(running)
  expect(sdk.spans().map(({ name }) => name)).toEqual([
    'chat gpt-test',
    'chat gpt-test',
    'chat one',
    'chat two',
  ])
  const durations = (await sdk.points()).find(({ name }) => name.endsWith('duration'))?.dataPoints ?? []
  expect(durations.map(({ value }) => value)).toMatchObject([{ count: 1 }, { count: 1 }, { count: 1 }])
})

test("whatever goes wrong in an SDK is not the call's", async () => {
  registerSdk()
  trace.disable()
  trace.setGlobalTracerProvider({
    getTracer() {
      throw new Error('a broken SDK')
    },
  })
  const { reply } = await ask(json(completion('said')))
  expect(reply.status).toBe(200)
})
