import type { CostedCall } from '../store/costed-calls.ts'
import { pricedCall } from './accounting.ts'
import type { Price, PriceBook } from './price-book.ts'
import { type CostLine, costLines, costOfLines } from './rates.ts'

/**
 * What the cost of a call on record follows from: `given` by whoever recorded it, `cached`, `nothing-used` where its provider
 * was not asked or refused, `priced`; or why it is unknown: `no-usage`, `no-price`, `incomplete-price` where something that
 * was used has none.
 */
export type CostBasis =
  | 'given'
  | 'cached'
  | 'nothing-used'
  | 'priced'
  | 'no-usage'
  | 'no-price'
  | 'incomplete-price'

export interface Recomputed {
  readonly basis: CostBasis
  /** Nano-US-dollars; undefined when unknown. */
  readonly nanousd: number | undefined
  readonly price?: Price | undefined
  readonly lines?: readonly CostLine[] | undefined
}

/** The cost of a call from what is on record of it and the price that held when it was begun. */
export function recompute(book: PriceBook, call: CostedCall): Recomputed {
  const { account, status, responseModel } = call
  const { usage, usageSource, costNanousd, isCostGiven } = account
  // Before costs were computed, every one there was had been given.
  if (isCostGiven || (costNanousd !== undefined && costNanousd > 0 && usageSource === undefined))
    return { basis: 'given', nanousd: costNanousd }
  if (status === 'cached') return { basis: 'cached', nanousd: 0 }
  const hasUsage = usage.inputTokens !== undefined || usage.outputTokens !== undefined
  if (!hasUsage && costNanousd === 0 && status !== 'completed') return { basis: 'nothing-used', nanousd: 0 }
  if (!hasUsage && status !== 'completed') return { basis: 'no-usage', nanousd: undefined }
  const price = book.priceOf(pricedCall(call, responseModel), usage)
  if (price === undefined) return { basis: 'no-price', nanousd: undefined }
  const lines = costLines(price.rates, usage)
  const nanousd = costOfLines(lines)
  const basis = nanousd !== undefined ? 'priced' : hasUsage ? 'incomplete-price' : 'no-usage'
  return { basis, nanousd, price, lines }
}
