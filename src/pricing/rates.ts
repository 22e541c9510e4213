import type { Usage } from '../model/usage.ts'
import { toNano } from './money.ts'

/** The kinds of tokens that can have a price of their own. */
const tokenKinds = [
  'input',
  'cacheRead',
  'cacheCreation',
  'longCacheCreation',
  'audioInput',
  'audioCacheRead',
  'output',
  'reasoning',
  'audioOutput',
] as const

/** Tools of the provider's own, paid for by the use. */
const toolKinds = ['webSearch', 'fileSearch', 'otherTool'] as const

const usageKinds = [...tokenKinds, ...toolKinds, 'call'] as const

export type UsageKind = (typeof usageKinds)[number]

/** Whether a price is for one of a kind, not for a million. */
export function isPaidSingly(kind: UsageKind): boolean {
  return kind === 'call' || isTool(kind)
}

function isTool(kind: UsageKind): boolean {
  return (toolKinds as readonly UsageKind[]).includes(kind)
}

/** Femto-US-dollars for one of a kind. What has none is not priced by itself. */
export type Rates = { readonly [K in UsageKind]?: bigint | undefined }

/** A part of a call's cost. */
export interface CostLine {
  readonly kind: UsageKind
  readonly count: number
  /** Femto-US-dollars for one. */
  readonly rate: bigint
}

/**
 * Where a kind belongs that has no price: it is paid as what it is a part of. Audio is not: it costs several times as much
 * as text, so that without a price of its own it has none that is known.
 */
const partOf = {
  cacheRead: 'input',
  cacheCreation: 'input',
  longCacheCreation: 'cacheCreation',
  reasoning: 'output',
  audioCacheRead: 'audioInput',
} as const satisfies Partial<Record<UsageKind, UsageKind>>

/**
 * What a usage costs, part by part. Undefined when the tokens are not known, or when something that was used has no price:
 * a sum that leaves a part out would pass for the cost. A price for the call has the use of tools in it, as providers do that
 * search for each answer.
 */
export function costLines(rates: Rates, usage: Usage): CostLine[] | undefined {
  const used = split(usage, rates)
  if (used === undefined) return undefined
  const lines: CostLine[] = []
  for (const kind of usageKinds) {
    const count = used[kind]
    if (count === 0) continue
    const rate = rateOf(rates, kind)
    if (rate === undefined) {
      if (kind === 'call' || (isTool(kind) && rates.call !== undefined)) continue
      return undefined
    }
    lines.push({ kind, count, rate })
  }
  return lines
}

/** Nano-US-dollars; undefined when unknown. */
export function costOfLines(lines: readonly CostLine[] | undefined): number | undefined {
  return lines && toNano(lines.reduce((sum, { count, rate }) => sum + BigInt(count) * rate, 0n))
}

function rateOf(rates: Rates, kind: UsageKind): bigint | undefined {
  const own = rates[kind]
  if (own !== undefined) return own
  const whole = (partOf as Partial<Record<UsageKind, UsageKind>>)[kind]
  return whole === undefined ? undefined : rateOf(rates, whole)
}

/** Each token in the one kind that it is paid as, and all else that is paid. */
function split(usage: Usage, rates: Rates): Record<UsageKind, number> | undefined {
  const { inputTokens: input, longCacheCreationInputTokens: long = 0 } = usage
  const { audioInputTokens: audio = 0, audioCacheReadInputTokens: audioRead = 0 } = usage
  const { cacheReadInputTokens: read = 0, cacheCreationInputTokens: created = 0 } = usage
  const { reasoningOutputTokens: reasoning = 0, audioOutputTokens: spoken = 0 } = usage
  // What only reads, as embeddings do, has no price for output and says of none.
  const output = usage.outputTokens ?? (rates.output === undefined ? 0 : undefined)
  const pieces = {
    webSearch: usage.webSearches ?? 0,
    fileSearch: usage.fileSearches ?? 0,
    otherTool: usage.otherPaidTools ?? 0,
    call: 1,
  }
  if (isByCall(rates)) return { ...nothing, ...pieces }
  if (input === undefined || output === undefined) return undefined
  const audioInput = Math.max(0, audio - audioRead)
  const cacheRead = Math.max(0, read - audioRead)
  const cacheCreation = Math.max(0, created - long)
  return {
    input: Math.max(0, input - audioInput - audioRead - cacheRead - cacheCreation - long),
    cacheRead,
    cacheCreation,
    longCacheCreation: long,
    audioInput,
    audioCacheRead: audioRead,
    output: Math.max(0, output - reasoning - spoken),
    reasoning,
    audioOutput: spoken,
    ...pieces,
  }
}

const nothing = Object.fromEntries(usageKinds.map(kind => [kind, 0])) as Record<UsageKind, number>

/** Whether a call is paid for, and its tokens are not. */
function isByCall(rates: Rates): boolean {
  return rates.call !== undefined && tokenKinds.every(kind => rates[kind] === undefined)
}
