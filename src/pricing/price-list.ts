import type * as GenaiPrices from '@pydantic/genai-prices'
import type { ModelPrice, TieredPrices } from '@pydantic/genai-prices'
import { perToken } from './money.ts'
import type { Rates, UsageKind } from './rates.ts'

/** A list price as it held at one time. */
export interface ListPrice {
  readonly provider: string
  /** The model as the list names it. */
  readonly model: string
  /** By the length of what is read; the last that is exceeded holds for the whole request. The first exceeds nothing. */
  readonly steps: readonly { readonly above: number; readonly rates: Rates }[]
  /** The day since when it holds, as the list knows it: YYYY-MM-DD. */
  readonly since: string | undefined
  /** Whether it is another at other times. */
  readonly varies: boolean
}

/** The public prices of providers, loaded when they are first needed. */
export class PriceList {
  readonly #data: typeof GenaiPrices

  private constructor(data: typeof GenaiPrices) {
    this.#data = data
  }

  /** Takes a twentieth of a second the first time. */
  static async load(): Promise<PriceList> {
    return new PriceList(await import('@pydantic/genai-prices'))
  }

  /** The list's provider that serves an address. */
  providerAt(url: string): string | undefined {
    return this.#data.findProvider({ providerApiUrl: url })?.id
  }

  /** The list's provider that is called so. */
  providerNamed(name: string): string | undefined {
    const known = otherNames[name.toLowerCase()] ?? name.toLowerCase()
    return this.#data.findProvider({ providerId: known })?.id === known ? known : undefined
  }

  /** The maker of a model, as far as its name tells. */
  providerOfModel(model: string): string | undefined {
    return this.#data.findProvider({ modelId: model.toLowerCase() })?.id
  }

  /** What a model costs at a time (milliseconds since 1970). Takes a few tens of microseconds. */
  find(provider: string, model: string, at: number): ListPrice | undefined {
    let found: GenaiPrices.PriceCalculationResult
    try {
      found = this.#data.calcPrice({}, model, { providerId: provider, timestamp: new Date(at) })
    } catch {
      // A price that contradicts itself is none.
      return undefined
    }
    if (found === null) return undefined
    const { model: listed, model_price: price } = found
    const steps = isFree(listed.id, price) ? [{ above: -1, rates: { call: 0n } }] : stepsOf(price)
    const varies = Array.isArray(listed.prices)
    return { provider: found.provider.id, model: listed.id, steps, since: sinceOf(listed, at), varies }
  }
}

/** Names that applications give to providers of the list. */
const otherNames: Readonly<Record<string, string | undefined>> = {
  gemini: 'google',
  vertex: 'google',
  vertexai: 'google',
  vertex_ai: 'google',
  claude: 'anthropic',
  grok: 'x-ai',
  xai: 'x-ai',
  bedrock: 'aws',
  azure_openai: 'azure',
  'azure-openai': 'azure',
  moonshot: 'moonshotai',
  together_ai: 'together',
  'together-ai': 'together',
}

const perMillion = {
  input_mtok: 'input',
  cache_read_mtok: 'cacheRead',
  cache_write_mtok: 'cacheCreation',
  cache_write_1h_mtok: 'longCacheCreation',
  input_audio_mtok: 'audioInput',
  cache_audio_read_mtok: 'audioCacheRead',
  output_mtok: 'output',
  output_reasoning_mtok: 'reasoning',
  output_audio_mtok: 'audioOutput',
} as const satisfies Record<string, UsageKind>

const perThousand = {
  web_searches_kcount: 'webSearch',
  storage_searches_kcount: 'fileSearch',
  requests_kcount: 'call',
} as const satisfies Record<string, UsageKind>

function stepsOf(price: ModelPrice): ListPrice['steps'] {
  const starts = Object.values(price).flatMap(each =>
    typeof each === 'object' ? each.tiers.map(({ start }) => start) : [],
  )
  const steps = [-1, ...new Set(starts.sort((a, b) => a - b))]
  return steps.map(above => ({ above, rates: ratesOf(price, above) }))
}

/** What is paid by the minute or by the page has no rates: nobody knows it from tokens. */
function ratesOf(price: ModelPrice, above: number): Rates {
  const rates: { [K in UsageKind]?: bigint } = {}
  for (const [key, kind] of Object.entries(perMillion)) {
    const dollars = dollarsOf(price[key], above)
    if (dollars !== undefined) rates[kind] = perToken(dollars)
  }
  if (rates.input === undefined && rates.output === undefined) return {}
  for (const [key, kind] of Object.entries(perThousand)) {
    const dollars = dollarsOf(price[key], above)
    if (dollars !== undefined) rates[kind] = perToken(dollars) * 1_000n
  }
  return rates
}

function dollarsOf(price: number | TieredPrices | undefined, above: number): number | undefined {
  if (price === undefined || typeof price === 'number') return price
  const reached = price.tiers.filter(({ start }) => start <= above).sort((a, b) => a.start - b.start)
  return reached.at(-1)?.price ?? price.base
}

/**
 * Models without any price are free where their name says so; of others the list does not know the price, or they are not
 * offered any more.
 */
function isFree(model: string, price: ModelPrice): boolean {
  return Object.keys(price).length === 0 && (model.endsWith(':free') || model === 'moderation')
}

function sinceOf({ prices }: GenaiPrices.ModelInfo, at: number): string | undefined {
  if (!Array.isArray(prices)) return undefined
  const dates = prices.flatMap(({ constraint }) =>
    constraint?.type === 'start_date' && Date.parse(constraint.start_date) <= at
      ? [constraint.start_date]
      : [],
  )
  return dates.at(-1)
}
