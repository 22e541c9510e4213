import { generationTime } from '../documents/document-object.ts'
import type { StoredDocument } from '../store/documents.ts'
import { type Column, formatTable } from './table.ts'
import { costText, countText, timeText } from './values.ts'

const columns: readonly Column<StoredDocument>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'TIME', text: ({ createdAt }) => timeText(createdAt) },
  { title: 'TYPE', text: ({ type }) => type, elastic: true },
  { title: 'VERSION', text: ({ version }) => version, elastic: true },
  { title: 'NO', text: ({ number }) => String(number), align: 'right' },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'TOKENS', text: ({ totalTokens }) => countText(totalTokens), align: 'right' },
  { title: 'COST', text: ({ costNanousd }) => costText(costNanousd), align: 'right' },
  { title: 'MS', text: document => countText(generationTime(document)), align: 'right' },
]

export function documentTable(documents: readonly StoredDocument[], width: number | undefined): string {
  return formatTable(columns, documents, width)
}
