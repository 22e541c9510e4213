import type { UnpricedModel } from '../../store/costed-calls.ts'
import { type Days, timesOf } from '../day-span.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'
import { timeText } from '../values.ts'

export interface UnpricedOptions extends GlobalOptions, Days {
  readonly user?: string
  readonly json?: boolean
}

const columns: readonly Column<UnpricedModel>[] = [
  { title: 'PROVIDER', text: ({ provider }) => provider },
  { title: 'MODEL', text: ({ model }) => model, elastic: true },
  { title: 'LACKS', text: ({ lacks }) => lacks },
  { title: 'CALLS', text: ({ calls }) => String(calls), align: 'right' },
  { title: 'IN', text: ({ inputTokens }) => String(inputTokens), align: 'right' },
  { title: 'OUT', text: ({ outputTokens }) => String(outputTokens), align: 'right' },
  { title: 'FIRST', text: ({ firstAt }) => timeText(firstAt) },
  { title: 'LAST', text: ({ lastAt }) => timeText(lastAt) },
]

/** Lists the models of calls whose cost is unknown, and says what can be done about it. */
export async function listUnpriced(options: UnpricedOptions): Promise<void> {
  const { user: userId, json } = options
  const { since, until } = timesOf(options)
  const models = await withStele(options, ({ costs }) => costs.unpriced({ userId, since, until }))
  if (json === true) return writeJson(models.map(toRecord))
  if (models.length === 0) return say('Every call has a cost.')
  await write(formatTable(columns, models, outputWidth()))
  if (models.some(({ lacks }) => lacks === 'price'))
    say('Give prices under "prices" in stele.config.json, then run: stele usage reprice')
  if (models.some(({ lacks }) => lacks === 'usage'))
    say('Of calls that lack usage nobody knows what they took: they were lost, or never answered.')
}
