import {
  type Attributes,
  type Context,
  context,
  type Histogram,
  type MeterProvider,
  metrics,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import type { CallEnd, CallWatcher, TraceHeaders, WatchedCall } from './watch.ts'

/**
 * Spans and metrics of calls under the names of OpenTelemetry's GenAI conventions. Whoever runs this process registers an SDK,
 * or does not: then nothing is made. Never a word that was said.
 */
export function openTelemetryWatcher(): CallWatcher {
  return {
    watch(call) {
      const attributes = attributesOf(call)
      const name = `${attributes['gen_ai.operation.name']} ${call.model}`
      const span = trace
        .getTracer(scope)
        .startSpan(name, { kind: SpanKind.CLIENT, attributes, ...startOf(call) }, parentOf(call.traceHeaders))
      return end => {
        if (span.isRecording()) endSpan(span, call, end)
        // These are of operations at providers: of a cached reply nobody was asked.
        if (end.status !== 'cached') recordMetrics(attributes, end)
      }
    },
  }
}

const scope = 'stele'

function startOf({ startedAt }: WatchedCall): { startTime?: number } {
  return startedAt === undefined ? {} : { startTime: startedAt }
}

/** The names that the conventions have for operations that Stele calls otherwise. */
const operationNames: Readonly<Record<string, string>> = { completions: 'text_completion' }

function attributesOf({ provider, model, operation, address }: WatchedCall): Attributes {
  return {
    'gen_ai.operation.name': operationNames[operation] ?? operation,
    'gen_ai.provider.name': provider,
    'gen_ai.request.model': model,
    ...(address === undefined ? {} : { 'server.address': address.host, 'server.port': address.port }),
  }
}

function endSpan(span: Span, { callId, conversationId }: WatchedCall, end: CallEnd): void {
  const { reply, status, endedAt } = end
  const { usage } = reply ?? {}
  const found: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>> = {
    'stele.call.id': callId,
    'gen_ai.conversation.id': conversationId,
    'gen_ai.response.model': reply?.responseModel,
    'gen_ai.response.id': reply?.providerResponseId,
    'gen_ai.response.finish_reasons': reply?.finishReasons.length === 0 ? undefined : reply?.finishReasons,
    'gen_ai.usage.input_tokens': usage?.inputTokens,
    'gen_ai.usage.output_tokens': usage?.outputTokens,
    'gen_ai.usage.cache_read.input_tokens': usage?.cacheReadInputTokens,
    'error.type': errorTypeOf(end),
    'stele.cached': status === 'cached' ? true : undefined,
  }
  for (const [name, value] of Object.entries(found))
    if (value !== undefined) span.setAttribute(name, typeof value === 'object' ? [...value] : value)
  if (status === 'failed') span.setStatus({ code: SpanStatusCode.ERROR })
  span.end(endedAt)
}

function errorTypeOf({ status, errorCode }: CallEnd): string | undefined {
  if (status === 'completed' || status === 'cached') return undefined
  return errorCode ?? status
}

interface Instruments {
  readonly duration: Histogram
  readonly tokens: Histogram
}

let made: { readonly of: MeterProvider; readonly instruments: Instruments } | undefined

/** A provider of metrics may be registered at any time. */
function instruments(): Instruments {
  const provider = metrics.getMeterProvider()
  if (made?.of !== provider) {
    const meter = provider.getMeter(scope)
    const duration = meter.createHistogram('gen_ai.client.operation.duration', {
      unit: 's',
      description: 'GenAI operation duration.',
      advice: {
        explicitBucketBoundaries: [
          0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
        ],
      },
    })
    const tokens = meter.createHistogram('gen_ai.client.token.usage', {
      unit: '{token}',
      description: 'Number of input and output tokens used.',
      advice: {
        explicitBucketBoundaries: [
          1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
          67_108_864,
        ],
      },
    })
    made = { of: provider, instruments: { duration, tokens } }
  }
  return made.instruments
}

function recordMetrics(start: Attributes, end: CallEnd): void {
  const { duration, tokens } = instruments()
  const { responseModel, usage } = end.reply ?? {}
  const errorType = errorTypeOf(end)
  const attributes = {
    ...start,
    ...(responseModel === undefined ? {} : { 'gen_ai.response.model': responseModel }),
  }
  if (end.latencyMs !== undefined)
    duration.record(
      end.latencyMs / 1000,
      errorType === undefined ? attributes : { ...attributes, 'error.type': errorType },
    )
  for (const [type, count] of [
    ['input', usage?.inputTokens],
    ['output', usage?.outputTokens],
  ] as const)
    if (count !== undefined) tokens.record(count, { ...attributes, 'gen_ai.token.type': type })
}

const traceparent = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/**
 * What this process traces already, as an application does, or what watches its HTTP server. Else what the client traces, as W3C
 * Trace Context says it; of what is malformed nothing.
 */
function parentOf(headers: TraceHeaders | undefined): Context {
  const active = context.active()
  if (trace.getSpan(active) !== undefined) return active
  const [, traceId, spanId, flags] = traceparent.exec(headers?.traceparent ?? '') ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return ROOT_CONTEXT
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
  })
}
