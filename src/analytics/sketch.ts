/**
 * How often durations occurred, in buckets whose bounds grow by a constant factor: a percentile read from them is at most
 * `accuracy` away from the true one, however long or short, and two sketches add up to that of both. The idea is DDSketch's
 * (Masson, Rim and Lee, 2019). Keys are buckets, values are counts.
 */
export type Sketch = Map<number, number>

/** The largest relative error of a percentile. */
const accuracy = 0.02

const factor = (1 + accuracy) / (1 - accuracy)
const logFactor = Math.log(factor)

/** Notes a duration in milliseconds, `times` of it. Less than one millisecond is a bucket of its own. */
export function note(sketch: Sketch, milliseconds: number, times = 1): void {
  const bucket = milliseconds < 1 ? 0 : Math.ceil(Math.log(milliseconds) / logFactor) + 1
  sketch.set(bucket, (sketch.get(bucket) ?? 0) + times)
}

/**
 * The durations in milliseconds below which these shares (0 to 1) of all lie, by nearest rank.
 * Undefined each when nothing was noted.
 */
export function percentiles(sketch: Sketch, shares: readonly number[]): (number | undefined)[] {
  const buckets = [...sketch].filter(([, count]) => count > 0).sort(([a], [b]) => a - b)
  const total = buckets.reduce((sum, [, count]) => sum + count, 0)
  return shares.map(share => {
    let rank = Math.max(1, Math.ceil(share * total))
    for (const [bucket, count] of buckets) {
      rank -= count
      if (rank <= 0) return middleOf(bucket)
    }
    return undefined
  })
}

/** The value that is no further than `accuracy` from any in the bucket: a whole number of milliseconds where one is. */
function middleOf(bucket: number): number {
  if (bucket === 0) return 0
  const middle = (2 * factor ** (bucket - 1)) / (factor + 1)
  const whole = Math.round(middle)
  const lowest = Math.floor(factor ** (bucket - 2)) + 1
  const highest = Math.floor(factor ** (bucket - 1))
  const isNear = Math.max(whole / lowest - 1, 1 - whole / highest) <= accuracy
  return isNear ? whole : Math.round(middle * 100) / 100
}

/** As it is stored: buckets by their distance from the one before, and counts, as LEB128 numbers. */
export function packSketch(sketch: Sketch): Uint8Array {
  const numbers: number[] = []
  let last = 0
  for (const [bucket, count] of [...sketch].sort(([a], [b]) => a - b)) {
    if (count <= 0) continue
    numbers.push(bucket - last, count)
    last = bucket
  }
  const bytes: number[] = []
  for (let rest of numbers) {
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
    bytes.push(rest)
  }
  return Uint8Array.from(bytes)
}

/** Adds a stored sketch to one. */
export function addPacked(to: Sketch, bytes: Uint8Array, times = 1): void {
  let at = 0
  let bucket = 0
  const next = (): number => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    bucket += next()
    const count = next()
    to.set(bucket, (to.get(bucket) ?? 0) + count * times)
  }
}
