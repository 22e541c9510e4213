import type { AskedReservation } from '../model/call.ts'
import { type ToolsAllowed, toolsAllowed } from '../model/tool-use.ts'
import { serviceTierOf, type Usage } from '../model/usage.ts'
import { countedBeside } from '../pricing/count-beside.ts'
import { type CountedRequest, type Prompt, promptOf } from '../pricing/tokens.ts'

/** What decides how much is held back for a call. */
export interface ReservationRules {
  /** Tokens of output for which a request counts that does not say how long its reply may be. */
  readonly defaultOutput?: number | undefined
  /** What becomes of such a request where tokens or money are limited. */
  readonly openEnded?: 'reserve' | 'refuse' | undefined
  /** What becomes of a request whose price is unknown where money is limited. */
  readonly unpriced?: 'refuse' | 'allow' | undefined
}

export const usualOutput = 4_096

/** Uses of the provider's paid tools for which a request counts that allows them and does not say how many. */
const usualToolCalls = 10

/** Nano-US-dollars; undefined when the price is unknown. */
type CostOf = (
  call: { readonly provider: string; readonly model: string; readonly at: number },
  usage: Usage,
) => number | undefined

/** What tells prices, once it is ready to. */
export interface PriceTeller {
  readonly ready: () => Promise<unknown>
  readonly mayCost: CostOf
}

/** A request, and by whom it is to be answered. */
export interface Reserving {
  readonly request: CountedRequest
  readonly operation: string
  readonly provider: string
  readonly requestModel: string
  readonly createdAt: number
}

/**
 * What a call may take: its input and the longest reply that it allows. The input is bounded by its bytes at first, as no token is
 * shorter than a byte; only where that is too much are its tokens counted.
 */
export class Reserver {
  readonly #rules: ReservationRules
  readonly #prices: PriceTeller | undefined

  constructor(rules: ReservationRules, prices?: PriceTeller) {
    this.#rules = rules
    this.#prices = prices
  }

  /** Resolves when it can say what calls may cost. Where prices cannot be had, they are unknown. */
  async ready(): Promise<void> {
    await this.#prices?.ready().catch(() => undefined)
  }

  /** Takes no time to speak of, and is never less than what comes of it. */
  bound(reserving: Reserving): AskedReservation {
    const prompt = promptOf(reserving.request)
    return this.#reservation(reserving, prompt, bytesOf(prompt.texts), true)
  }

  /** Beside the event loop; where that takes too long, the bound stands. */
  async exact(reserving: Reserving): Promise<AskedReservation> {
    const prompt = promptOf(reserving.request)
    const tokens = await countedBeside(reserving.requestModel, prompt.texts)
    return this.#reservation(reserving, prompt, tokens ?? bytesOf(prompt.texts), false)
  }

  #reservation(
    { request, operation, provider, requestModel: model, createdAt: at }: Reserving,
    prompt: Prompt,
    textTokens: number,
    isBound: boolean,
  ): AskedReservation {
    const { defaultOutput = usualOutput, openEnded = 'reserve', unpriced = 'refuse' } = this.#rules
    const stated = answersInWords(operation) ? longestReply(request, operation) : 0
    const outputTokens = stated ?? defaultOutput
    const inputTokens = textTokens + prompt.others
    const serviceTier = serviceTierOf(request.value)
    const tools = toolsAllowed(request.value, operation, model)
    const mostCost = (allowed: ToolsAllowed | undefined) =>
      waysToPay({ inputTokens, outputTokens, serviceTier }, prompt, allowed)
        .map(usage => this.#prices?.mayCost({ provider, model, at }, usage))
        .reduce((most, cost) => (most === undefined || cost === undefined ? undefined : Math.max(most, cost)))
    const nanousd = mostCost(tools)
    const isOpen = openEnded === 'refuse'
    return {
      tokens: inputTokens + outputTokens,
      nanousd: nanousd ?? (unpriced === 'allow' ? (mostCost(undefined) ?? 0) : undefined),
      isBound,
      missingBound:
        isOpen && stated === undefined ? (boundNames[operation]?.[0] ?? 'max_completion_tokens') : undefined,
      missingToolBound:
        isOpen && tools !== undefined && tools.most === undefined ? 'max_tool_calls' : undefined,
    }
  }
}

function bytesOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
}

interface Most extends Usage {
  readonly inputTokens: number
  readonly outputTokens: number
}

/** The same tokens as what they may be paid as, with the tools that may be used: what is dearest among these is held back. */
function waysToPay(usual: Most, prompt: Prompt, allowed: ToolsAllowed | undefined): readonly Most[] {
  const ways = waysToPayTokens(usual, prompt)
  if (allowed === undefined) return ways
  const { tools, most = usualToolCalls } = allowed
  return ways.flatMap(way => tools.map(tool => ({ ...way, [tool]: most })))
}

function waysToPayTokens(usual: Most, { hasAudio, marksCache }: Prompt): readonly Most[] {
  const { inputTokens, outputTokens } = usual
  return [
    usual,
    ...(marksCache
      ? [{ ...usual, cacheCreationInputTokens: inputTokens, longCacheCreationInputTokens: inputTokens }]
      : []),
    ...(hasAudio ? [{ ...usual, audioInputTokens: inputTokens, audioOutputTokens: outputTokens }] : []),
  ]
}

/** Where a request says how long its reply may be. A name that its provider does not know bounds nothing. */
const boundNames: Readonly<Record<string, readonly string[]>> = {
  chat: ['max_completion_tokens', 'max_tokens'],
  completions: ['max_tokens'],
  responses: ['max_output_tokens'],
}

/** No reply is longer: a bound beyond it is none that a sum must hold. */
const longestOutput = 1_000_000_000

/**
 * Tokens of all answers together that a request allows; undefined when it does not say. Of two bounds the larger one: providers
 * know the one or the other. To some 0 is no bound.
 */
function longestReply({ value }: CountedRequest, operation: string): number | undefined {
  const stated = (boundNames[operation] ?? []).map(name => value[name]).filter(isPositive)
  if (stated.length === 0) return undefined
  const answers = [value['n'], value['best_of']].filter(isPositive)
  return Math.min(longestOutput, Math.ceil(Math.max(...stated) * Math.max(1, ...answers)))
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && value > 0
}

/** Embeddings and moderations have an output that is no tokens. */
function answersInWords(operation: string): boolean {
  return operation !== 'embeddings' && operation !== 'moderations'
}
