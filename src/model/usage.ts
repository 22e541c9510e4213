import { toldCost } from './told-cost.ts'

/**
 * What a call has used. Token counts as OpenTelemetry's GenAI conventions name them; undefined where the provider did not
 * say. Input counts all that was read and output all that was made: the others are parts of these two.
 */
export interface Usage {
  readonly inputTokens?: number | undefined
  readonly outputTokens?: number | undefined
  readonly cacheReadInputTokens?: number | undefined
  /** Written to the provider's prompt cache. */
  readonly cacheCreationInputTokens?: number | undefined
  /** Those of them that are kept for an hour, which costs more. */
  readonly longCacheCreationInputTokens?: number | undefined
  readonly reasoningOutputTokens?: number | undefined
  readonly audioInputTokens?: number | undefined
  /** Those of them that came from the cache. */
  readonly audioCacheReadInputTokens?: number | undefined
  readonly audioOutputTokens?: number | undefined
  /** Searches of the web, and of stored files, that the provider made and charges for one by one. */
  readonly webSearches?: number | undefined
  readonly fileSearches?: number | undefined
  /** Uses of other tools of the provider's own that cost something beside their tokens: containers, images made. */
  readonly otherPaidTools?: number | undefined
  /** What the provider says that the call cost, in nano-US-dollars. */
  readonly toldNanousd?: number | undefined
  /** The class of service it was answered with, where that is not the usual one: it has prices of its own. */
  readonly serviceTier?: string | undefined
}

/** `reported`: the provider said so. `estimated`: some of the counts are a tokenizer's, for the provider did not say. */
export type UsageSource = 'reported' | 'estimated'

/** What a call took and what it costs, as it is recorded. */
export interface Account {
  readonly usage: Usage
  /** Undefined when no tokens are known. */
  readonly usageSource: UsageSource | undefined
  /** Nano-US-dollars; undefined when unknown. */
  readonly costNanousd: number | undefined
  /** Whoever recorded the call said what it cost; it is not for prices to tell. */
  readonly isCostGiven: boolean
}

type Fields = Readonly<Record<string, unknown>>

/**
 * Reads a `usage` object as chat completions, embeddings and responses spell it, and as Anthropic, Gemini, DeepSeek, xAI
 * and others do. Counts that leave a part out of the whole are put right.
 */
export function readUsage(value: unknown): Usage {
  if (!isObject(value)) return {}
  if ('promptTokenCount' in value || 'candidatesTokenCount' in value) return readGemini(value)
  const told = counts(value)
  const { cacheRead, cacheCreation, reasoning } = told
  // A reply that was read from nothing: services that do not count say zero. It is no count.
  if (!told.input && !told.output && !cacheRead && !cacheCreation) return {}
  const cached = (cacheRead ?? 0) + (cacheCreation ?? 0)
  const toldNanousd = toldCost(value)
  const input = told.input === undefined || !leavesOutCache(value, told) ? told.input : told.input + cached
  return {
    inputTokens: input === 0 ? undefined : input,
    outputTokens: told.output === undefined ? undefined : told.output + leftOutThinking(told, input),
    cacheReadInputTokens: cacheRead,
    ...(cacheCreation === undefined ? {} : { cacheCreationInputTokens: cacheCreation }),
    ...(told.longCacheCreation ? { longCacheCreationInputTokens: told.longCacheCreation } : {}),
    reasoningOutputTokens: reasoning,
    ...(told.audioInput ? { audioInputTokens: told.audioInput } : {}),
    ...(told.audioCacheRead ? { audioCacheReadInputTokens: told.audioCacheRead } : {}),
    ...(told.audioOutput ? { audioOutputTokens: told.audioOutput } : {}),
    ...(told.webSearches ? { webSearches: told.webSearches } : {}),
    ...(toldNanousd === undefined ? {} : { toldNanousd }),
  }
}

/** What a stream has told so far and what it tells now, which counts where both do. */
export function mergeUsage(before: Usage, now: Usage): Usage {
  const told = Object.entries(now).filter(([, value]) => value !== undefined)
  return { ...before, ...Object.fromEntries(told) }
}

/** The service tier that a reply names; undefined for the usual ones. It is not encrypted, so nothing but a name is taken for one. */
export function serviceTierOf(reply: unknown): string | undefined {
  const tier = isObject(reply) ? reply['service_tier'] : undefined
  if (typeof tier !== 'string' || usualTiers.has(tier)) return undefined
  return tierName.test(tier) ? tier : 'other'
}

const usualTiers: ReadonlySet<string> = new Set(['', 'auto', 'default', 'standard', 'on_demand'])
const tierName = /^[a-z][a-z0-9_-]{0,31}$/

interface Counts {
  readonly input: number | undefined
  readonly output: number | undefined
  readonly total: number | undefined
  readonly cacheRead: number | undefined
  readonly cacheCreation: number | undefined
  readonly longCacheCreation: number | undefined
  readonly reasoning: number | undefined
  readonly audioInput: number | undefined
  readonly audioCacheRead: number | undefined
  readonly audioOutput: number | undefined
  readonly webSearches: number | undefined
}

function counts(usage: Fields): Counts {
  const input = fields(usage['prompt_tokens_details'] ?? usage['input_tokens_details'])
  const output = fields(usage['completion_tokens_details'] ?? usage['output_tokens_details'])
  const creation = fields(usage['cache_creation'])
  return {
    ...wholes(usage),
    cacheRead:
      count(input['cached_tokens']) ??
      count(usage['cache_read_input_tokens']) ??
      count(usage['prompt_cache_hit_tokens']) ??
      count(usage['cached_tokens']),
    cacheCreation:
      count(usage['cache_creation_input_tokens']) ??
      count(input['cache_creation_tokens']) ??
      count(input['cache_write_tokens']),
    longCacheCreation: count(creation['ephemeral_1h_input_tokens']),
    reasoning: count(output['reasoning_tokens']) ?? count(usage['reasoning_tokens']),
    audioInput: count(input['audio_tokens']),
    audioCacheRead: count(fields(input['cached_tokens_details'])['audio_tokens']),
    audioOutput: count(output['audio_tokens']),
    // Anthropic, and Perplexity.
    webSearches:
      count(fields(usage['server_tool_use'])['web_search_requests'], mostToolUses) ??
      count(usage['num_search_queries'], mostToolUses),
  }
}

function wholes(usage: Fields): Pick<Counts, 'input' | 'output' | 'total'> {
  const output = count(usage['completion_tokens']) ?? count(usage['output_tokens'])
  const total = count(usage['total_tokens'])
  const rest = total === undefined || output === undefined || output > total ? undefined : total - output
  return { input: count(usage['prompt_tokens']) ?? count(usage['input_tokens']) ?? rest, output, total }
}

/**
 * Whether the input does not count what came from the cache or was written to it. So it is with Anthropic, who says
 * `input_tokens` and no details; elsewhere the total tells, or that a part would be larger than the whole.
 */
function leavesOutCache(
  usage: Fields,
  { input = 0, output = 0, total, cacheRead = 0, cacheCreation = 0 }: Counts,
): boolean {
  const cached = cacheRead + cacheCreation
  if (cached === 0) return false
  if (total !== undefined && total === input + output) return cached > input
  if (total !== undefined && total === input + output + cached) return true
  const isAnthropic = usage['prompt_tokens'] === undefined && usage['input_tokens_details'] === undefined
  return isAnthropic || cached > input
}

/**
 * Tokens of thinking that the output does not count: xAI names them beside it, and of what Gemini's compatible API leaves
 * out only the total tells.
 */
function leftOutThinking({ output = 0, total, reasoning = 0 }: Counts, input = 0): number {
  if (total === undefined || total <= input + output) return reasoning > output ? reasoning : 0
  return total - input - output
}

/** Gemini's own spelling. What it thought and what a tool gave it stand beside what they belong to. */
function readGemini(usage: Fields): Usage {
  const thoughts = count(usage['thoughtsTokenCount'])
  const answer = count(usage['candidatesTokenCount'])
  const prompt = count(usage['promptTokenCount'])
  return {
    inputTokens: prompt === undefined ? undefined : prompt + (count(usage['toolUsePromptTokenCount']) ?? 0),
    outputTokens:
      answer === undefined && thoughts === undefined ? undefined : (answer ?? 0) + (thoughts ?? 0),
    cacheReadInputTokens: count(usage['cachedContentTokenCount']),
    reasoningOutputTokens: thoughts,
  }
}

function fields(value: unknown): Fields {
  return isObject(value) ? value : {}
}

function isObject(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** Many times what any model reads or makes for one request: a larger count is a mistake, and sums of such would be none. */
export const mostTokens = 1_000_000_000

/** The same of the uses of tools that are paid for one by one. */
export const mostToolUses = 1_000_000

function count(value: unknown, most = mostTokens): number | undefined {
  const isCount = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
  return isCount && value <= most ? value : undefined
}
