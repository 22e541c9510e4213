import { limitsOf } from '../../config.ts'
import type { Limit } from '../../limits/store.ts'
import type { LimitTarget } from '../../limits/targets.ts'
import { capsText, targetText } from '../limit-text.ts'
import { configOf, type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'

export interface ListLimitsOptions extends GlobalOptions, LimitTarget {
  readonly limit: number
  readonly json?: boolean
}

const columns: readonly Column<Limit>[] = [
  { title: 'OF', text: targetText, elastic: true },
  { title: 'LIMITS', text: capsText, elastic: true },
]

/** Lists limits, and how much of them is used. */
export async function listLimits(options: ListLimitsOptions): Promise<void> {
  const { user, eachUser, key, model, limit } = options
  const found = await withStele(options, ({ limits }) => limits.list({ user, eachUser, key, model, limit }))
  if (options.json === true) return writeJson(found.map(each => toRecord(each)))
  const configured = Object.entries(limitsOf(configOf(options)).eachUser ?? {})
  const caps = Object.fromEntries(configured.filter(([, cap]) => cap !== undefined))
  if (Object.keys(caps).length > 0)
    say(`The configuration allows each user ${capsText({ caps, used: {} })}, where nothing else is set.`)
  if (found.length === 0) return say('No limits.')
  await write(formatTable(columns, found, outputWidth()))
}
