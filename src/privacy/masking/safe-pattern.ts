import { type PatternNode, parsePattern, type Repeat } from './pattern-syntax.ts'

/** A user's own pattern, so written that no text makes it slow. */
export interface SafePattern {
  readonly kind: string
  /** Global. */
  readonly pattern: RegExp
}

/** What an unbounded repetition may match at most. */
const longestRepeat = 64
/** How long a match may get, in characters. */
const longestMatch = 4_096
/** In how many ways one stretch of text may be matched: what an engine that backtracks tries one after another. */
const mostWays = 16

/** Names of kinds, as they stand in placeholders. */
export const kindName = /^[A-Z][A-Z_]{0,30}[A-Z]$/

/**
 * Makes a pattern safe to run on any text: repetitions without an end are given one, and a pattern that can match the same
 * stretch in many ways is refused, since that is what makes a failed match take exponential time.
 * @throws Error saying what about it is not allowed
 */
export function safePattern(kind: string, source: string): SafePattern {
  const node = parsePattern(source)
  const nothing = new Uint8Array(node.first.length)
  if (node.isNullable) throw new Error('it matches the empty text')
  const length = longest(node)
  if (length > longestMatch) throw new Error(`it can match more than ${longestMatch} characters`)
  const ways = waysOf(node, nothing)
  if (ways > mostWays) throw new Error('it can match the same text in too many ways: repetitions overlap')
  const pattern = new RegExp(written(node), 'gu')
  return { kind, pattern }
}

function bound({ min, max }: Repeat): number {
  return max === Number.POSITIVE_INFINITY ? Math.max(longestRepeat, min) : max
}

/** An upper bound for the ways to match one stretch. @param follow what may come after it */
function waysOf(node: PatternNode, follow: Uint8Array): number {
  switch (node.type) {
    case 'set':
    case 'assertion':
      return 1
    case 'sequence': {
      let ways = 1
      let after = follow
      for (const part of node.parts.toReversed()) {
        ways *= waysOf(part, after)
        after = part.isNullable ? union(part.first, after) : part.first
      }
      return ways
    }
    case 'choice': {
      const ways = node.options.map(option => waysOf(option, follow))
      const areApart = node.options.every((option, index) =>
        node.options.slice(index + 1).every(other => !overlap(option.first, other.first)),
      )
      return areApart ? Math.max(...ways) : ways.reduce((sum, one) => sum + one, 0)
    }
    case 'repeat': {
      const max = bound(node)
      if (node.body.isNullable && max > 1) throw new Error('it repeats what may be empty')
      const inner = waysOf(node.body, max > 1 ? union(node.body.first, follow) : follow)
      const endings = overlap(node.body.first, follow) ? max - node.min + 1 : 1
      return inner ** max * endings
    }
  }
}

function longest(node: PatternNode): number {
  switch (node.type) {
    case 'set':
      return 1
    case 'assertion':
      return 0
    case 'sequence':
      return node.parts.reduce((sum, part) => sum + longest(part), 0)
    case 'choice':
      return Math.max(...node.options.map(longest))
    case 'repeat':
      return longest(node.body) * bound(node)
  }
}

function written(node: PatternNode): string {
  switch (node.type) {
    case 'set':
    case 'assertion':
      return node.source
    case 'sequence':
      return node.parts.map(written).join('')
    case 'choice':
      return `(?:${node.options.map(written).join('|')})`
    case 'repeat': {
      const body = node.body.type === 'set' ? node.body.source : `(?:${written(node.body)})`
      return `${body}{${node.min},${bound(node)}}${node.isLazy ? '?' : ''}`
    }
  }
}

function overlap(a: Uint8Array, b: Uint8Array): boolean {
  return a.some((has, index) => has === 1 && b[index] === 1)
}

function union(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((has, index) => has | (b[index] ?? 0))
}
