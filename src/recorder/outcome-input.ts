import { SteleError } from '../errors.ts'
import type { Outcome } from '../model/call.ts'
import { lastTime, wholeNumber } from '../model/json-object.ts'
import { mostTokens, mostToolUses, type Usage } from '../model/usage.ts'

/** Nano-US-dollars that a call can be said to have cost: a million dollars. */
const mostCost = 1e15

/** Milliseconds that a call can be said to have taken: some years. */
const longest = 1e11

/** Some counts are put together of several. */
const mostCounted = 10 * mostTokens

const counts = [
  'inputTokens',
  'outputTokens',
  'cacheReadInputTokens',
  'cacheCreationInputTokens',
  'longCacheCreationInputTokens',
  'reasoningOutputTokens',
  'audioInputTokens',
  'audioCacheReadInputTokens',
  'audioOutputTokens',
] as const satisfies readonly (keyof Usage)[]

const toolUses = ['webSearches', 'fileSearches', 'otherPaidTools'] as const satisfies readonly (keyof Usage)[]

/**
 * What applications say of how a call went is added up with what others say: a number that is none, or less than nothing, would
 * spoil the sums of all. @throws SteleError invalid_value
 */
export function checkOutcome({ reply, costNanousd, createdAt, ...outcome }: Outcome): void {
  const usage: Usage = reply?.usage ?? {}
  for (const name of counts)
    if (usage[name] !== undefined) wholeNumber(`usage.${name}`, usage[name], 0, mostCounted)
  for (const name of toolUses)
    if (usage[name] !== undefined) wholeNumber(`usage.${name}`, usage[name], 0, mostToolUses)
  if (costNanousd !== undefined) wholeNumber('costNanousd', costNanousd, 0, mostCost)
  if (usage.toldNanousd !== undefined) wholeNumber('usage.toldNanousd', usage.toldNanousd, 0, mostCost)
  if (createdAt !== undefined) wholeNumber('createdAt', createdAt, 0, lastTime)
  for (const name of ['latencyMs', 'timeToFirstChunkMs'] as const) {
    const time = outcome[name]
    if (time !== undefined && !(typeof time === 'number' && time >= 0 && time <= longest))
      throw new SteleError(
        'invalid_value',
        { name, reason: `it must be a number from 0 to ${longest}` },
        { param: name },
      )
  }
}
