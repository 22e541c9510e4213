import type { Random } from './random.ts'

// biome-ignore format: a list to read across
const words = [
  'stone', 'ledger', 'harbour', 'and', 'then', 'the', 'of', 'seven', 'rivers', 'again', 'so', 'it', 'stood', 'until',
  'morning', 'π', 'naïve', '"quoted"', 'back\\slash', '石碑', '🎉', 'line\nbreak', 'tab\there', '</script>', '\u2028',
] as const

/** So many words, some of them hard to carry through JSON unchanged. */
export function textOf(random: Random, tokens: number): string {
  return Array.from({ length: tokens }, () => random.pick(words)).join(' ')
}
