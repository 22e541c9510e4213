import { SteleError } from '../errors.ts'
import { readObject } from '../model/json-body.ts'
import { type JsonObject, objectText } from '../model/json-object.ts'
import type { Reading, Store } from '../store/contents.ts'
import { documentTypeStore, type StoredDocumentType } from '../store/document-types.ts'
import { documentStore } from '../store/documents.ts'
import { definitionFrom, whyNotInForce } from './definition.ts'
import { readyType } from './document-type.ts'
import { isInForce } from './library.ts'

/** What somebody asks for. */
export interface DocumentRequest {
  readonly userId: string
  readonly type: string
  /** The last one that is valid now when left out. */
  readonly version?: string | undefined
  /** That of the document which is made again when left out. */
  readonly input?: JsonObject | undefined
  /** A document of the same type that it takes the place of. */
  readonly regenerates?: string | undefined
}

/** Characters of an input's JSON text: as much as a body may have. */
const longestInput = 64 * 1024 * 1024

/** Looks up what a request for a document names. */
export function documentLookup(database: Store, reading: Reading) {
  const types = documentTypeStore(database)
  const documents = documentStore(reading)

  // What was found once, for times when the database is away: a version never changes.
  const known = new Map<string, StoredDocumentType>()

  const storedType = async ({ type, version }: DocumentRequest): Promise<StoredDocumentType | undefined> => {
    const name = JSON.stringify([type, version])
    const last = known.get(name)
    if (version !== undefined && last !== undefined) return last
    try {
      const found =
        version === undefined
          ? await types.versions(type).then(versions => versions.find(isInForce) ?? versions[0])
          : await types.get(type, version)
      if (found !== undefined) known.set(name, found)
      return found
    } catch (error) {
      if (last === undefined || error instanceof SteleError) throw error
      return last
    }
  }

  const typeOf = async (request: DocumentRequest): Promise<StoredDocumentType> => {
    const { type, version } = request
    const found = await storedType(request)
    if (found === undefined)
      throw new SteleError(
        'document_type_not_found',
        { type: version === undefined ? type : `${type}' in the version '${version}` },
        { param: version === undefined ? 'type' : 'version' },
      )
    const reason = whyNotInForce(definitionFrom(found.definition), Date.now())
    if (reason !== undefined)
      throw new SteleError('document_type_not_in_force', { type, reason }, { param: 'version' })
    return found
  }

  const inputOf = async ({ userId, type, input, regenerates }: DocumentRequest): Promise<JsonObject> => {
    const previous = regenerates === undefined ? undefined : await documents.get(userId, regenerates)
    if (regenerates !== undefined && previous === undefined)
      throw new SteleError('document_not_found', { document: regenerates }, { param: 'regenerates' })
    if (previous !== undefined && previous.type !== type)
      throw new SteleError(
        'invalid_value',
        { name: 'regenerates', reason: `it is of the type '${previous.type}'` },
        { param: 'regenerates' },
      )
    if (input !== undefined) return readObject(objectText('input', input, longestInput)).value
    if (previous === undefined)
      throw new SteleError('missing_required_parameter', { name: 'input' }, { param: 'input' })
    if (previous.input === undefined) throw new SteleError('content_not_kept')
    return readObject(previous.input).value
  }

  return {
    /**
     * @throws SteleError document_type_not_found, document_type_not_in_force, document_not_found,
     * document_input_invalid, missing_required_parameter, invalid_value, content_not_kept
     */
    async find(
      request: DocumentRequest,
    ): Promise<{ type: StoredDocumentType; input: JsonObject; model: string }> {
      const type = await typeOf(request)
      const input = await inputOf(request)
      const ready = readyType(type)
      ready.checkInput(input, JSON.stringify(input).length)
      return { type, input, model: ready.definition.model }
    },
  }
}
