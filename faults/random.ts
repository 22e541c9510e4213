import { createHash } from 'node:crypto'
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64'
import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'

/** Numbers that a seed decides. */
export interface Random {
  /** At least 0, below 1. */
  fraction(): number
  /** Both bounds included. */
  integer(from: number, to: number): number
  chance(probability: number): boolean
  pick<T>(values: readonly [T, ...T[]]): T
  /** Gaps between the arrivals of a Poisson process. */
  exponential(mean: number): number
  logNormal(median: number, sigma: number): number
}

/**
 * The numbers that belong to these labels: a call's fate depends on its own mark and the seed, not on how many others
 * asked for a number before it.
 */
export function randomOf(...labels: readonly (string | number)[]): Random {
  const generator = xoroshiro128plus(createHash('sha256').update(labels.join(' ')).digest().readInt32LE())
  const fraction = (): number => uniformFloat64(generator)
  return {
    fraction,
    integer: (from, to) => uniformInt(generator, from, to),
    chance: probability => fraction() < probability,
    pick: values => values[uniformInt(generator, 0, values.length - 1)] ?? values[0],
    exponential: mean => -mean * Math.log(1 - fraction()),
    logNormal: (median, sigma) => {
      const normal = Math.sqrt(-2 * Math.log(1 - fraction())) * Math.cos(2 * Math.PI * fraction())
      return median * Math.exp(sigma * normal)
    },
  }
}
