import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { errorTable } from '../errors.ts'
import type { CallWatcher } from './watch.ts'

/** Names of models that are told apart, and of providers; others are one. */
const mostNames = 200
const others = 'other'

const seconds = [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300]
const commitSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5]
const batchSizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]

/** What a process counts of its calls and commits, for Prometheus: never a user, a key or a word that was said. */
export interface Counts extends CallWatcher {
  readonly registry: Registry
  /** The names of a provider's models, which are told apart from then on. */
  learn(provider: string, models: readonly string[]): void
  /** Told of each batch that was committed, or not. */
  committed(batch: {
    readonly operations: number
    readonly took: number
    readonly isCommitted: boolean
  }): void
}

export function createCounts(): Counts {
  const registry = new Registry()
  const registers = [registry]
  const labelNames = ['provider', 'model'] as const
  const calls = new Counter({
    name: 'stele_calls_total',
    help: 'Calls that ended, by how.',
    labelNames: [...labelNames, 'outcome'] as const,
    registers,
  })
  const tokens = new Counter({
    name: 'stele_tokens_total',
    help: 'Tokens that providers told of: input, output, and the cached and reasoning ones among these.',
    labelNames: [...labelNames, 'type'] as const,
    registers,
  })
  const cost = new Counter({
    name: 'stele_cost_dollars_total',
    help: 'US dollars, of calls whose price is known.',
    labelNames,
    registers,
  })
  const unpriced = new Counter({
    name: 'stele_unpriced_calls_total',
    help: 'Calls whose price was not known when they ended.',
    labelNames,
    registers,
  })
  const errors = new Counter({
    name: 'stele_upstream_errors_total',
    help: 'Calls that failed, by the code of the failure.',
    labelNames: ['provider', 'code'] as const,
    registers,
  })
  const duration = new Histogram({
    name: 'stele_call_duration_seconds',
    help: 'How long calls took, from dispatch to the end of the reply.',
    labelNames,
    buckets: seconds,
    registers,
  })
  const firstChunk = new Histogram({
    name: 'stele_time_to_first_chunk_seconds',
    help: 'How long it took until a stream began.',
    labelNames,
    buckets: seconds,
    registers,
  })
  const batches = new Histogram({
    name: 'stele_commit_operations',
    help: 'Operations in a commit.',
    buckets: batchSizes,
    registers,
  })
  const commits = new Histogram({
    name: 'stele_commit_seconds',
    help: 'How long commits took.',
    buckets: commitSeconds,
    registers,
  })
  const failedCommits = new Counter({
    name: 'stele_commit_failures_total',
    help: 'Batches that could not be committed and are tried again, spooled or refused.',
    registers,
  })
  const offered = new Map<string, ReadonlySet<string>>()
  const used = new Set<string>()
  const providers = new Set<string>()

  /** A client may ask for whatever it likes, and some services answer to any name: only what a provider lists is told apart. */
  const modelOf = (provider: string, model: string): string => {
    if (offered.get(provider)?.has(model) !== true) return others
    return toldApart(used, model)
  }

  return {
    registry,
    learn: (provider, models) => void offered.set(provider, new Set(models)),
    watch({ provider: name, model: asked }) {
      return ({ status, errorCode, reply, costNanousd, latencyMs, timeToFirstChunkMs }) => {
        const model = modelOf(name, asked)
        // An application may record calls of whoever it likes, and failures by names of its own.
        const provider = toldApart(providers, name)
        calls.inc({ provider, model, outcome: status })
        if (status === 'failed') errors.inc({ provider, code: codeOf(errorCode) })
        // How fast Stele's own cache is says nothing of the provider.
        const isAnswered = status !== 'cached'
        if (isAnswered && latencyMs !== undefined) duration.observe({ provider, model }, latencyMs / 1000)
        if (isAnswered && timeToFirstChunkMs !== undefined)
          firstChunk.observe({ provider, model }, timeToFirstChunkMs / 1000)
        if (costNanousd === undefined) unpriced.inc({ provider, model })
        else cost.inc({ provider, model }, costNanousd / 1e9)
        const { inputTokens, outputTokens, cacheReadInputTokens, reasoningOutputTokens } = reply?.usage ?? {}
        const types = {
          input: inputTokens,
          output: outputTokens,
          cached: cacheReadInputTokens,
          reasoning: reasoningOutputTokens,
        }
        for (const [type, count] of Object.entries(types))
          if (count !== undefined && count > 0) tokens.inc({ provider, model, type }, count)
      }
    },
    committed({ operations, took, isCommitted }) {
      if (!isCommitted) return failedCommits.inc()
      batches.observe(operations)
      commits.observe(took / 1000)
    },
  }
}

/** A name, as long as there are not too many. */
function toldApart(names: Set<string>, name: string): string {
  if (!names.has(name) && names.size >= mostNames) return others
  names.add(name)
  return name
}

function codeOf(code = 'unknown'): string {
  return code === 'unknown' || code === 'external' || Object.hasOwn(errorTable, code) ? code : others
}

/** A figure that is read when it is asked for. */
export interface Reading {
  readonly name: string
  readonly help: string
  /** `gauge` when left out. */
  readonly type?: 'counter'
  /** Of several processes that serve one address: what stands for all; `sum` when left out. */
  readonly together?: 'sum' | 'max'
  readonly labels?: readonly string[]
  /** With the values of the labels; nothing while there is nothing to tell. */
  read(): readonly { readonly labels?: Readonly<Record<string, string>>; readonly value: number }[]
}

/** Has figures read whenever the registry is asked. */
export function addReadings(registry: Registry, readings: readonly Reading[]): void {
  for (const { name, help, type, together = 'sum', labels = [], read } of readings) {
    const options = { name, help, labelNames: [...labels], aggregator: together, registers: [registry] }
    if (type === 'counter')
      new Counter({
        ...options,
        collect() {
          this.reset()
          for (const { labels: values = {}, value } of read()) this.inc(values, value)
        },
      })
    else
      new Gauge({
        ...options,
        collect() {
          this.reset()
          for (const { labels: values = {}, value } of read()) this.set(values, value)
        },
      })
  }
}

/** Memory, processor time, event-loop delay and collections of garbage of this process, from now on. */
export function processCounts(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return registry
}
