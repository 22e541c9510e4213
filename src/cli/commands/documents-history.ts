import { documentObject } from '../../documents/document-object.ts'
import { documentTable } from '../document-table.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteReading } from '../operator.ts'
import { outputWidth, write, writeJson } from '../output.ts'
import { requireDocument } from './documents-show.ts'

export interface DocumentHistoryOptions extends GlobalOptions {
  readonly user?: string
  readonly json?: boolean
}

/** Lists all documents of the history that a document belongs to, the first one first. */
export async function documentHistory(id: string, options: DocumentHistoryOptions): Promise<void> {
  await withStele(options, async stele => {
    const { userId } = await requireDocument(stele, id, options.user)
    if (options.json === true)
      await noteReading(stele, { userId, target: id, command: 'documents history' }, options)
    const documents = await stele.documents.history(userId, id)
    await (options.json === true
      ? writeJson(documents.map(documentObject))
      : write(documentTable(documents, outputWidth())))
  })
}
