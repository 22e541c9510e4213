import { expect } from 'vitest'
import type { LimitTarget } from '../../src/limits/targets.ts'
import type { Stele } from '../../src/stele.ts'
import { chatBody, completed, completionBody, user } from './chat.ts'

/** A request whose reply may have `max` tokens; its one message has seven bytes with what frames it. */
export const bounded = (max: number, text = 'hi'): string =>
  chatBody([user(text)], { max_completion_tokens: max })

export const used = (input: number, output: number) =>
  completed(completionBody('a', { usage: { prompt_tokens: input, completion_tokens: output } }))

export async function usedOf(stele: Stele, target: LimitTarget): Promise<Readonly<Record<string, number>>> {
  const [limit] = await stele.limits.list(target)
  return limit?.used ?? {}
}

/** What a call took by the record, counted or estimated. */
export async function recordedTokens({ database }: Stele, callId: string): Promise<number> {
  const columns = ['input_tokens', 'output_tokens', 'usage_source'] as const
  const ended = database.kysely.selectFrom('llm_responses').select(columns).where('request_id', '=', callId)
  const { input_tokens, output_tokens, usage_source } = await ended.executeTakeFirstOrThrow()
  expect(usage_source).toBe('estimated')
  return (input_tokens ?? 0) + (output_tokens ?? 0)
}
