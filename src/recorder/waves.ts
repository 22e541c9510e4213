/**
 * Splits work into waves such that no two items of a wave share a key; items with the same key keep their order.
 * Within a wave everything can be read at once and written at once; what depends on an earlier write waits a wave.
 */
export function splitIntoWaves<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  const waves: T[][] = []
  const seen = new Map<string, number>()
  for (const item of items) {
    const key = keyOf(item)
    const wave = seen.get(key) ?? 0
    seen.set(key, wave + 1)
    const members = waves[wave]
    if (members === undefined) waves[wave] = [item]
    else members.push(item)
  }
  return waves
}
