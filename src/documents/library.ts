import { SteleError } from '../errors.ts'
import type { AskedWith } from '../model/asked-with.ts'
import { pageLimit } from '../model/json-object.ts'
import { deleteDocument } from '../recorder/documents.ts'
import type { Recorder } from '../recorder/recorder.ts'
import { type Actor, operator } from '../store/audit-events.ts'
import type { Store } from '../store/contents.ts'
import { type DocumentTotals, type DocumentTotalsFilter, documentTotals } from '../store/document-totals.ts'
import { documentTypeStore, type StoredDocumentType } from '../store/document-types.ts'
import { type DocumentFilter, documentStore, type StoredDocument } from '../store/documents.ts'
import {
  checkedDefinition,
  type DocumentTypeDefinition,
  definitionFrom,
  definitionText,
  whyNotInForce,
} from './definition.ts'
import { compileType } from './document-type.ts'

/** A version of a document type that is registered. */
export interface RegisteredDocumentType extends DocumentTypeDefinition {
  /** Its number among the versions of its type, from 1: what was registered later is higher. */
  readonly number: number
  readonly registeredBy: string
  /** Milliseconds since 1970, UTC. */
  readonly registeredAt: number
}

const longestPage = 1_000

/** Document types, and the documents that were made. Making them takes a provider: see `documentGenerator`. */
export function documentLibrary(database: Store, recorder: Recorder) {
  const types = documentTypeStore(database)
  const documents = documentStore(database)
  return {
    /**
     * Registers a version of a document type. The same one again, with the same content, changes nothing.
     * @throws SteleError document_type_invalid, document_type_conflict
     */
    async register(
      definition: DocumentTypeDefinition,
      by: Actor = operator,
    ): Promise<RegisteredDocumentType> {
      const checked = checkedDefinition(definition)
      compileType(checked)
      const text = definitionText(checked)
      return registered(
        await types.add({ name: checked.name, version: checked.version, definition: text }, by),
      )
    },
    /** All versions of all types, by their names, the last one first. */
    async types(): Promise<RegisteredDocumentType[]> {
      return (await types.list()).map(registered)
    },
    /** The version that is used when it is named, or when none is: then the last one that is valid now. */
    async type(name: string, version?: string): Promise<RegisteredDocumentType | undefined> {
      const found =
        version === undefined
          ? await types.versions(name).then(versions => versions.find(isInForce) ?? versions[0])
          : await types.get(name, version)
      return found && registered(found)
    },
    get: documents.get,
    find: documents.find,
    /** @throws SteleError invalid_value */
    list: (filter: Omit<DocumentFilter, 'limit'> & { limit?: number }): Promise<StoredDocument[]> =>
      documents.list({ ...filter, limit: Math.min(pageLimit(filter.limit, 50), longestPage) }),
    history: documents.history,
    /** How many documents of each type were made for whom, how they ended, and how long they took. */
    totals: (filter: DocumentTotalsFilter = {}): Promise<DocumentTotals[]> =>
      documentTotals(database, filter),
    /** Removes what it was made of and what it says; its calls stay on record. @throws SteleError document_not_found */
    async delete(userId: string, id: string, { apiKeyId }: AskedWith = {}): Promise<void> {
      if (!(await deleteDocument(recorder, userId, id, apiKeyId)))
        throw new SteleError('document_not_found', { document: id })
    },
  }
}

export function isInForce({ definition }: StoredDocumentType): boolean {
  return whyNotInForce(definitionFrom(definition), Date.now()) === undefined
}

function registered({
  definition,
  number,
  createdBy,
  createdAt,
}: StoredDocumentType): RegisteredDocumentType {
  return { ...definitionFrom(definition), number, registeredBy: createdBy, registeredAt: createdAt }
}
