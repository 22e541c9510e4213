import { typeObject } from '../../documents/document-object.ts'
import type { RegisteredDocumentType } from '../../documents/library.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { type Column, formatTable } from '../table.ts'
import { none, timeText } from '../values.ts'

export interface ListTypesOptions extends GlobalOptions {
  readonly json?: boolean
}

const columns: readonly Column<RegisteredDocumentType>[] = [
  { title: 'TYPE', text: ({ name }) => name },
  { title: 'VERSION', text: ({ version }) => version },
  { title: 'MODEL', text: ({ model }) => model, elastic: true },
  { title: 'VALID FROM', text: ({ validFrom }) => validFrom ?? none },
  { title: 'UNTIL', text: ({ validUntil }) => validUntil ?? none },
  { title: 'REGISTERED', text: ({ registeredAt }) => timeText(registeredAt) },
  { title: 'BY', text: ({ registeredBy }) => registeredBy, elastic: true },
]

/** Lists the document types by name, the last version of each first. */
export async function listTypes(options: ListTypesOptions): Promise<void> {
  const types = await withStele(options, ({ documents }) => documents.types())
  if (options.json === true) return writeJson(types.map(type => typeObject(type, { isWhole: true })))
  if (types.length === 0) return say('No document types.')
  await write(formatTable(columns, types, outputWidth()))
}
