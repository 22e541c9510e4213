import type { Row } from '../db/tables.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { isFields } from '../model/reply.ts'
import type { Account, Usage } from '../model/usage.ts'

type Columns = Pick<Row<'llm_responses'>, 'usage_source' | 'cache_creation_input_tokens' | 'usage_details'>

/** The numbers that few calls have stand together in one column, by their names here. */
const rareCounts = [
  'longCacheCreationInputTokens',
  'audioInputTokens',
  'audioCacheReadInputTokens',
  'audioOutputTokens',
  'webSearches',
  'fileSearches',
  'otherPaidTools',
  'toldNanousd',
] as const

/** What of an account has no column of its own besides. */
export function accountColumns({ usage, usageSource, isCostGiven }: Account): Columns {
  return {
    usage_source: usageSource ?? null,
    cache_creation_input_tokens: usage.cacheCreationInputTokens ?? null,
    usage_details: detailsText(usage, isCostGiven),
  }
}

/** Undefined counts are left out; hardly a call has any. */
function detailsText(usage: Usage, isCostGiven: boolean): string | null {
  const { serviceTier } = usage
  if (serviceTier === undefined && !isCostGiven && rareCounts.every(name => usage[name] === undefined))
    return null
  const counts = Object.fromEntries(rareCounts.map(name => [name, usage[name]]))
  return JSON.stringify({ ...counts, serviceTier, isCostGiven: isCostGiven || undefined })
}

/** A row's account, as far as it is computed from. */
export type AccountRow = Columns &
  Pick<
    Row<'llm_responses'>,
    'input_tokens' | 'output_tokens' | 'cache_read_input_tokens' | 'reasoning_output_tokens' | 'cost_nanousd'
  >

/** The inverse: what is on record of what a call took and cost. */
export function accountOfRow(row: AccountRow): Account {
  const details = row.usage_details === null ? {} : maybeJson(row.usage_details)
  const told = isFields(details) ? details : {}
  const counts = rareCounts.flatMap(name => {
    const count = told[name]
    return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0
      ? [[name, count] as const]
      : []
  })
  const tier = told['serviceTier']
  return {
    usage: {
      inputTokens: row.input_tokens ?? undefined,
      outputTokens: row.output_tokens ?? undefined,
      cacheReadInputTokens: row.cache_read_input_tokens ?? undefined,
      cacheCreationInputTokens: row.cache_creation_input_tokens ?? undefined,
      reasoningOutputTokens: row.reasoning_output_tokens ?? undefined,
      ...Object.fromEntries(counts),
      serviceTier: typeof tier === 'string' ? tier : undefined,
    },
    usageSource:
      row.usage_source === 'estimated' ? 'estimated' : row.usage_source === null ? undefined : 'reported',
    costNanousd: row.cost_nanousd ?? undefined,
    isCostGiven: told['isCostGiven'] === true,
  }
}
