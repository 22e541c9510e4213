import type { Database } from '../db/database.ts'
import type { Opened, Row, Tables } from '../db/tables.ts'
import { lowestIdAt } from '../ids.ts'
import { keyText } from '../model/json-object.ts'
import { decodeText, isAbsent } from '../privacy/content.ts'
import type { Reading } from './contents.ts'
import { type DocumentCosts, documentCalls, ofDocument } from './document-calls.ts'
import { importingInstance } from './instances.ts'

/** A document, with what it took. */
export interface StoredDocument extends DocumentCosts {
  readonly id: string
  readonly userId: string
  readonly type: string
  readonly version: string
  /** Its number in the history of what it was made again from, from 1. */
  readonly number: number
  /** The first of that history; its own id when it is that one. */
  readonly rootId: string
  /** The document that it was made again from. */
  readonly previousId: string | undefined
  readonly status: string
  /** With which key it was asked for; undefined when the library was. */
  readonly apiKeyId: string | undefined
  /** JSON text; undefined when it was not kept. */
  readonly input: string | undefined
  /** JSON text; of one that is invalid what came in its place. Undefined when there is none, or it was not kept. */
  readonly output: string | undefined
  readonly errorCode: string | undefined
  readonly errorMessage: string | undefined
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
  readonly endedAt: number | undefined
}

export const documentStatuses = ['in_progress', 'completed', 'failed', 'invalid'] as const

export interface DocumentFilter {
  readonly userId: string
  readonly limit: number
  readonly order?: 'asc' | 'desc' | undefined
  readonly type?: string | undefined
  readonly version?: string | undefined
  readonly status?: string | undefined
  /** Milliseconds since 1970, UTC: not before, and before. */
  readonly from?: number | undefined
  readonly to?: number | undefined
  /** Only documents behind this one, in the order asked for, and before that one. */
  readonly after?: string | undefined
  readonly before?: string | undefined
}

/** What is on record of documents. They are written by the recorder, with the calls that they are made by. */
export function documentStore(reading: Reading) {
  const { kysely, contents } = reading
  const visible = (userId: string) =>
    kysely
      .selectFrom('documents')
      .selectAll()
      .where('user_id', '=', keyText('userId', userId))
      .where('deleted_at', 'is', null)

  const read = async (stored: readonly Tables['documents'][]): Promise<StoredDocument[]> => {
    const rows = await contents.open(kysely, 'documents', stored)
    const calls = await documentCalls(reading, rows)
    return rows.map(row => documentFrom(row, ofDocument(row, calls)))
  }

  return {
    async get(userId: string, id: string): Promise<StoredDocument | undefined> {
      const rows = await visible(userId).where('id', '=', keyText('id', id)).execute()
      return (await read(rows))[0]
    },
    /** A document by its id alone, for operators. */
    async find(id: string): Promise<StoredDocument | undefined> {
      const rows = await kysely
        .selectFrom('documents')
        .selectAll()
        .where('id', '=', keyText('id', id))
        .where('deleted_at', 'is', null)
        .execute()
      return (await read(rows))[0]
    },
    /** By the time of their making, the newest first unless told otherwise. */
    async list(filter: DocumentFilter): Promise<StoredDocument[]> {
      const { userId, limit, order = 'desc', type, version, status, from, to, after, before } = filter
      const [behind, ahead] = order === 'asc' ? (['>', '<'] as const) : (['<', '>'] as const)
      // A page that ends where another begins is read backwards from there.
      const isBackwards = before !== undefined && after === undefined
      const direction = isBackwards ? (order === 'asc' ? 'desc' : 'asc') : order
      const rows = await visible(userId)
        .$if(type !== undefined, query => query.where('document_type', '=', keyText('type', type)))
        .$if(version !== undefined, query =>
          query.where('document_version', '=', keyText('version', version)),
        )
        .$if(status !== undefined, query => query.where('status', '=', keyText('status', status)))
        .$if(from !== undefined, query => query.where('id', '>=', lowestIdAt('document', from ?? 0)))
        .$if(to !== undefined, query => query.where('id', '<', lowestIdAt('document', to ?? 0)))
        .$if(after !== undefined, query => query.where('id', behind, keyText('after', after)))
        .$if(before !== undefined, query => query.where('id', ahead, keyText('before', before)))
        .orderBy('id', direction)
        .limit(limit)
        .execute()
      return read(isBackwards ? rows.toReversed() : rows)
    },
    /** All that were made of the same beginning, the first one first; empty when there is no such document. */
    async history(userId: string, id: string): Promise<StoredDocument[]> {
      const [one] = await visible(userId).where('id', '=', keyText('id', id)).execute()
      if (one === undefined) return []
      const rows = await visible(userId).where('root_id', '=', one.root_id).orderBy('number').execute()
      return read(rows)
    },
  }
}

/** The documents that a process was making. */
export function openDocuments(
  { prompt }: Pick<Database, 'prompt'>,
  instanceId: string,
): Promise<Pick<Row<'documents'>, 'user_id' | 'id'>[]> {
  return prompt
    .selectFrom('documents')
    .select(['user_id', 'id'])
    .where('instance_id', '=', instanceId)
    .where('status', '=', 'in_progress')
    .execute()
}

function documentFrom(row: Opened<Tables['documents']>, costs: DocumentCosts): StoredDocument {
  return {
    id: row.id,
    userId: row.user_id,
    type: row.document_type,
    version: row.document_version,
    number: row.number,
    rootId: row.root_id,
    previousId: row.previous_id ?? undefined,
    ...stateOf(row),
    apiKeyId: row.api_key_id ?? undefined,
    input: keptText(row.input),
    output: keptText(row.output),
    errorMessage: row.error_message ?? undefined,
    createdAt: row.created_at,
    endedAt: row.ended_at ?? undefined,
    ...costs,
    totalTokens: costs.totalTokens ?? row.total_tokens ?? undefined,
  }
}

/** Nobody here ends one that was under way when it was imported. */
function stateOf({ status, instance_id, error_code }: Opened<Tables['documents']>) {
  return status === 'in_progress' && instance_id === importingInstance
    ? { status: 'failed', errorCode: 'orphaned' }
    : { status, errorCode: error_code ?? undefined }
}

function keptText(stored: Uint8Array | null): string | undefined {
  return stored === null || isAbsent(stored) ? undefined : decodeText(stored)
}
