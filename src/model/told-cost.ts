/** Nano-US-dollars beyond which what is told is a mistake: a million dollars. */
const most = 1e15

/**
 * What a `usage` object says that the call cost, in nano-US-dollars: OpenRouter in dollars, beside what the provider behind it
 * charges to a key of one's own; Perplexity in dollars too, as the `total_cost` of its parts; xAI in ticks of which a dollar has
 * 10^10. Whether it is to be believed is for the prices to tell.
 */
export function toldCost(usage: Readonly<Record<string, unknown>>): number | undefined {
  const ticks = usage['cost_in_usd_ticks']
  if (typeof ticks === 'number') return nano(ticks / 10)
  const { cost, is_byok: isOwnKey, cost_details: details } = usage
  if (typeof cost !== 'number') return sumOfParts(cost)
  if (isOwnKey !== true) return nano(cost * 1e9)
  const hasDetails = typeof details === 'object' && details !== null
  const behind =
    hasDetails && 'upstream_inference_cost' in details ? details.upstream_inference_cost : undefined
  return typeof behind === 'number' && behind >= 0 ? nano((cost + behind) * 1e9) : undefined
}

function sumOfParts(cost: unknown): number | undefined {
  if (typeof cost !== 'object' || cost === null || !('total_cost' in cost)) return undefined
  const isDollars = !('currency' in cost) || cost.currency === 'USD'
  return isDollars && typeof cost.total_cost === 'number' ? nano(cost.total_cost * 1e9) : undefined
}

function nano(value: number): number | undefined {
  return value >= 0 && value <= most ? Math.round(value) : undefined
}
