import { retentionOf } from '../../config.ts'
import type { RetentionDefaults } from '../../retention/periods.ts'
import type { RetentionPolicy } from '../../retention/policies.ts'
import { configOf, type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { printableLine } from '../printable.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'
import { daysText, none } from '../values.ts'

export interface ShowRetentionOptions extends GlobalOptions {
  readonly user?: string
  readonly limit: number
  readonly after?: string
  readonly json?: boolean
}

type Line = RetentionDefaults & { readonly name: string }

const everybody = '(everybody)'

const columns: readonly Column<Line>[] = [
  { title: 'USER', text: ({ name }) => name, elastic: true },
  { title: 'CONTENT', text: ({ name, contentDays }) => text(name, contentDays) },
  { title: 'METADATA', text: ({ name, metadataDays }) => text(name, metadataDays) },
  { title: 'INACTIVE', text: ({ name, inactiveDays }) => text(name, inactiveDays) },
  {
    title: 'DELETED',
    text: ({ name, deletedDays }) => (name === everybody ? text(name, deletedDays) : none),
  },
]

/** Shows everybody's periods and those of users who have their own. */
export async function showRetention(options: ShowRetentionOptions): Promise<void> {
  const { user, limit, after, json } = options
  const defaults = retentionOf(configOf(options))
  const policies = await withStele(options, async ({ retention }): Promise<RetentionPolicy[]> => {
    if (user === undefined) return retention.list({ limit, ...(after === undefined ? {} : { after }) })
    const policy = await retention.get(user)
    return policy === undefined ? [] : [policy]
  })
  if (json === true)
    return writeJson({ everybody: toRecord(defaults), users: policies.map(policy => toRecord(policy)) })
  const lines = [{ name: everybody, ...defaults }, ...policies.map(each => ({ name: each.userId, ...each }))]
  await write(formatTable(columns, lines, outputWidth()))
  if (policies.length === limit)
    say(`There may be more: --after '${printableLine(policies.at(-1)?.userId ?? '')}'`)
}

/** What is not set for everybody is kept for ever; what is not set for a user is everybody's. */
function text(name: string, days: number | undefined): string {
  return name === everybody ? daysText(days ?? 0) : daysText(days)
}
