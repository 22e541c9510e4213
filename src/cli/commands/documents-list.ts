import { documentObject } from '../../documents/document-object.ts'
import { SteleError } from '../../errors.ts'
import { documentStatuses } from '../../store/documents.ts'
import { documentTable } from '../document-table.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteReading } from '../operator.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'

export interface ListDocumentsOptions extends GlobalOptions {
  readonly user: string
  readonly type?: string
  readonly status?: string
  readonly from?: number
  readonly to?: number
  readonly limit: number
  readonly before?: string
  readonly json?: boolean
}

/** Lists a user's documents, the newest first. */
export async function listDocuments(options: ListDocumentsOptions): Promise<void> {
  const { user: userId, type, status, from, to, limit, before: after, json } = options
  if (status !== undefined && !(documentStatuses as readonly string[]).includes(status))
    throw new SteleError('usage', { reason: `--status must be one of ${documentStatuses.join(', ')}.` })
  const documents = await withStele(options, async stele => {
    // Inputs and outputs are in the JSON alone.
    if (json === true) await noteReading(stele, { userId, command: 'documents list' }, options)
    return stele.documents.list({ userId, type, status, from, to, limit, after })
  })
  if (json === true) return writeJson(documents.map(documentObject))
  if (documents.length === 0) return say('No documents.')
  await write(documentTable(documents, outputWidth()))
  if (documents.length === limit) say(`There may be more: --before ${documents.at(-1)?.id}`)
}
