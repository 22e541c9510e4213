import type { Call } from '../store/calls.ts'

/** How single values are written for people. */

/** Stands for a value that there is not. */
export const none = '-'

/** Stands for content that is not kept. */
export const notKept = '(not kept)'

/** A time in milliseconds since 1970 as ISO 8601 in UTC, to the second. */
export function timeText(milliseconds: number | null | undefined): string {
  return milliseconds == null ? none : new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z')
}

export function countText(count: number | undefined): string {
  return count === undefined ? none : String(count)
}

/** The counts and the cost of a call; those that a tokenizer estimated, and what follows from them, after a `~`. */
export function inputText({ inputTokens, usageSource }: Call): string {
  return estimateText(usageSource, countText(inputTokens))
}

export function outputText({ outputTokens, usageSource }: Call): string {
  return estimateText(usageSource, countText(outputTokens))
}

export function callCostText({ costNanousd, usageSource }: Call): string {
  return costNanousd ? estimateText(usageSource, costText(costNanousd)) : costText(costNanousd)
}

function estimateText(source: Call['usageSource'], text: string): string {
  return source === 'estimated' && text !== none ? `~${text}` : text
}

/** Nano-US-dollars as dollars, every digit that counts; an unknown price is not a zero. */
export function costText(nanousd: number | undefined): string {
  if (nanousd === undefined) return none
  const dollars = Math.trunc(nanousd / 1e9)
  const rest = String(Math.abs(nanousd % 1e9))
    .padStart(9, '0')
    .replace(/0{0,7}$/, '')
  return `$${dollars}.${rest}`
}

/** Which of the calls for one request it is, and what made it one: `1`, `2 retry`, `3 fallback`. */
export function attemptText({ attempt, routeMode }: Pick<Call, 'attempt' | 'routeMode'>): string {
  return routeMode === undefined ? String(attempt) : `${attempt} ${routeMode}`
}

/** A period of retention: 0 has no end, and one that is not set is everybody's. */
export function daysText(days: number | undefined): string {
  if (days === undefined) return 'as for everybody'
  return days === 0 ? 'for ever' : `${days} d`
}
