import type { Usage } from '../model/usage.ts'
import { fromNano } from './money.ts'
import { checkOverrides, type Override, type PriceOverride, preparedOverride } from './overrides.ts'
import { type ListPrice, PriceList } from './price-list.ts'
import { type CostLine, costLines, costOfLines, type Rates } from './rates.ts'

export type TokenUsage = Usage

/** What a provider is, as far as its prices go. */
export interface PricedProvider {
  /** Stele itself answers with `echo` and `replay`. */
  readonly type?: 'openai-compatible' | 'echo' | 'replay' | undefined
  readonly baseUrl?: string | undefined
  /** The provider of the price list whose prices hold there, by its id. */
  readonly pricesOf?: string | undefined
}

export interface PriceBookOptions {
  /** The user's own prices; the first that fits a call is taken. */
  readonly overrides?: readonly PriceOverride[] | undefined
  /** By name. What a provider that is not here costs is told by its name alone. */
  readonly providers?: Readonly<Record<string, PricedProvider>> | undefined
}

/** A call as its price sees it. */
export interface PricedCall {
  readonly provider: string
  /** The model that answered, or the one that was asked. */
  readonly model: string
  /** The model that was asked, when another name answered. */
  readonly requestModel?: string | undefined
  /** When it was begun, in milliseconds since 1970. */
  readonly at: number
}

/** Where a price comes from. */
export type PriceSource =
  | { readonly kind: 'override'; readonly index: number; readonly override: PriceOverride }
  | {
      readonly kind: 'list'
      readonly provider: string
      readonly model: string
      readonly since: string | undefined
    }
  /** Stele's own providers, of which nobody sends an invoice. */
  | { readonly kind: 'own' }
  /** The provider says with its reply what it charges. */
  | { readonly kind: 'told' }

export interface Price {
  readonly source: PriceSource
  readonly rates: Rates
}

/** Those who say what they charge, in US dollars. Elsewhere a number of that name may be anything. */
const believed: ReadonlySet<string> = new Set(['openrouter', 'x-ai', 'perplexity'])

/** Looked-up list prices that are remembered; clients name models as they like. */
const maxRemembered = 1_000
/** A list price that varies holds for this long at least, in milliseconds. */
const grain = 60_000

const own: Price = { source: { kind: 'own' }, rates: { call: 0n } }

interface Remembered {
  readonly found: ListPrice | undefined
  /** Of a price that varies: the minute that it was looked up for. */
  readonly minute: number | undefined
}

/** What calls cost, as far as it is known: by the user's own prices, else by the providers' public ones. */
export class PriceBook {
  readonly #list: PriceList
  readonly #overrides: readonly Override[]
  readonly #providers: ReadonlyMap<string, PricedProvider>
  readonly #sellers = new Map<string, string | undefined>()
  readonly #remembered = new Map<string, Remembered>()

  private constructor(list: PriceList, { overrides = [], providers = {} }: PriceBookOptions) {
    this.#list = list
    this.#overrides = overrides.map(preparedOverride)
    this.#providers = new Map(Object.entries(providers))
  }

  /** Loads the public prices. @throws SteleError config_invalid */
  static async open(options: PriceBookOptions = {}): Promise<PriceBook> {
    const overrides = checkOverrides(options.overrides ?? [])
    return new PriceBook(await PriceList.load(), { ...options, overrides })
  }

  /** Nano-US-dollars; undefined when the price, or how much was used, is not known. */
  costOf(call: PricedCall, usage: TokenUsage): number | undefined {
    return costOfLines(this.linesOf(call, usage))
  }

  /**
   * The same of a call that is yet to be made. With those who will say what they charge, tools that have no price here count
   * from then on.
   */
  mayCost(call: PricedCall, usage: TokenUsage): number | undefined {
    const cost = this.costOf(call, usage)
    if (cost !== undefined || !this.#tells(call)) return cost
    return this.costOf(call, { ...usage, webSearches: 0, fileSearches: 0, otherPaidTools: 0 })
  }

  /** The parts of a call's cost. */
  linesOf(call: PricedCall, usage: TokenUsage): CostLine[] | undefined {
    const price = this.priceOf(call, usage)
    return price && costLines(price.rates, usage)
  }

  /** The price that holds for a call. */
  priceOf(call: PricedCall, { inputTokens = 0, serviceTier, toldNanousd }: TokenUsage): Price | undefined {
    const override = this.#overrides.length === 0 ? undefined : this.#overrideFor(call, serviceTier)
    if (override !== undefined) {
      const { index, given, rates } = override
      return { source: { kind: 'override', index, override: given }, rates }
    }
    const provider = this.#providers.get(call.provider)
    const type = provider?.type ?? (provider === undefined ? call.provider : undefined)
    if (type === 'echo' || type === 'replay') return own
    if (toldNanousd !== undefined && this.#tells(call))
      return { source: { kind: 'told' }, rates: { call: fromNano(toldNanousd) } }
    // The public prices are those of the usual service; a faster one costs more, a slower one less.
    if (serviceTier !== undefined) return undefined
    const listed = this.#listed(call, call.model) ?? this.#listed(call, call.requestModel)
    if (listed === undefined) return undefined
    const { steps, provider: seller, model, since } = listed
    const step = steps.findLast(({ above }) => inputTokens > above)
    return step && { source: { kind: 'list', provider: seller, model, since }, rates: step.rates }
  }

  #tells({ provider, model }: PricedCall): boolean {
    return believed.has(this.#sellerOf(provider, model) ?? '')
  }

  #overrideFor(
    { provider, model, requestModel, at }: PricedCall,
    tier: string | undefined,
  ): Override | undefined {
    return this.#overrides.find(
      ({ given, from, until, matches }) =>
        given.serviceTier === tier &&
        (given.provider === undefined || given.provider === provider) &&
        at >= from &&
        at < until &&
        (matches(model) || (requestModel !== undefined && matches(requestModel))),
    )
  }

  #listed(call: PricedCall, model: string | undefined): ListPrice | undefined {
    if (model === undefined) return undefined
    const key = `${call.provider}\u0000${model}`
    const minute = Math.floor(call.at / grain)
    const known = this.#remembered.get(key)
    if (known !== undefined && (known.minute === undefined || known.minute === minute)) return known.found
    const seller = this.#sellerOf(call.provider, model)
    const found = seller === undefined ? undefined : this.#list.find(seller, model, call.at)
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear()
    this.#remembered.set(key, { found, minute: found?.varies === true ? minute : undefined })
    return found
  }

  /**
   * Whose public prices hold at a provider. The address tells, where there is one: what answers at another is somebody
   * else, whatever it is called and whichever models it says it has.
   */
  #sellerOf(name: string, model: string): string | undefined {
    if (name === unnamed && !this.#providers.has(name)) return this.#list.providerOfModel(model)
    if (!this.#sellers.has(name)) {
      if (this.#sellers.size >= maxRemembered) this.#sellers.clear()
      this.#sellers.set(name, this.#findSeller(name))
    }
    return this.#sellers.get(name)
  }

  #findSeller(name: string): string | undefined {
    const { pricesOf, baseUrl } = this.#providers.get(name) ?? {}
    if (pricesOf !== undefined) return this.#list.providerNamed(pricesOf)
    return baseUrl === undefined ? this.#list.providerNamed(name) : this.#list.providerAt(baseUrl)
  }
}

/** The provider of a call that was made elsewhere, by somebody who did not say whose model it was. */
const unnamed = 'external'
