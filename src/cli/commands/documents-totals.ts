import type { DocumentTotals } from '../../store/document-totals.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'
import { countText } from '../values.ts'

export interface DocumentTotalsOptions extends GlobalOptions {
  readonly user?: string
  readonly type?: string
  readonly from?: number
  readonly to?: number
  readonly json?: boolean
}

const count = (
  title: string,
  read: (totals: DocumentTotals) => number | undefined,
): Column<DocumentTotals> => ({
  title,
  text: totals => countText(read(totals)),
  align: 'right',
})

const columns: readonly Column<DocumentTotals>[] = [
  { title: 'USER', text: ({ userId }) => userId, elastic: true },
  { title: 'TYPE', text: ({ type }) => type, elastic: true },
  count('DOCUMENTS', ({ documents }) => documents),
  count('COMPLETED', ({ completed }) => completed),
  count('FAILED', ({ failed }) => failed),
  count('INVALID', ({ invalid }) => invalid),
  count('AVERAGE MS', ({ averageMs }) => averageMs),
]

/** Shows how many documents were made for whom, how they ended and how long they took. */
export async function showTotals(options: DocumentTotalsOptions): Promise<void> {
  const { user: userId, type, from, to } = options
  const totals = await withStele(options, ({ documents }) => documents.totals({ userId, type, from, to }))
  if (options.json === true) return writeJson(totals.map(toRecord))
  if (totals.length === 0) return say('No documents.')
  await write(formatTable(columns, totals, outputWidth()))
}
