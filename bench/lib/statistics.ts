/** The middle value (mean of the two middle ones for an even count). Throws on an empty list: no figure beats a made-up one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle]
  if (upper === undefined) throw new Error('median of no values')
  if (sorted.length % 2 === 1) return upper
  return ((sorted[middle - 1] ?? upper) + upper) / 2
}

/** Nearest-rank percentile of values already in ascending order; `fraction` is 0..1. */
export function percentile(ascending: ArrayLike<number>, fraction: number): number {
  const rank = Math.min(ascending.length - 1, Math.max(0, Math.ceil(ascending.length * fraction) - 1))
  const value = ascending[rank]
  if (value === undefined) throw new Error('percentile of no values')
  return value
}

/** Rounds to `digits` significant digits, so that printed figures do not claim precision they lack. */
export function round(value: number, digits = 3): number {
  return Number(value.toPrecision(digits))
}
