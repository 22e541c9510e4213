import { SteleError } from '../errors.ts'
import type { PriceBookOptions } from './price-book.ts'
import { PriceList } from './price-list.ts'

/**
 * Refuses the name of a seller that the price list does not have: calls would have no cost, and nobody would be told. Loads the list
 * only where somebody is named. @throws SteleError config_invalid, naming each
 */
export async function checkSellers({ providers = {} }: PriceBookOptions): Promise<void> {
  const named = Object.entries(providers).flatMap(([name, { pricesOf }]) =>
    pricesOf === undefined ? [] : [{ name, pricesOf }],
  )
  if (named.length === 0) return
  const list = await PriceList.load()
  const problems = named
    .filter(({ pricesOf }) => list.providerNamed(pricesOf) === undefined)
    .map(({ name, pricesOf }) => `  providers.${name}.pricesOf: there is no '${pricesOf}' in genai-prices`)
  if (problems.length > 0) throw new SteleError('config_invalid', { problems: problems.join('\n') })
}
