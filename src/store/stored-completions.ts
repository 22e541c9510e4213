import { setImmediate } from 'node:timers/promises'
import type { Row } from '../db/tables.ts'
import type { Metadata } from '../model/metadata.ts'
import type { Reading } from './contents.ts'

/** A chat completion that its client asked to be stored. What was said stands with its call. */
export interface StoredCompletion {
  /** As the client got it. */
  readonly id: string
  readonly callId: string
  /** The model that answered. */
  readonly model: string
  readonly metadata: Metadata
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

export interface CompletionFilter {
  readonly userId: string
  readonly limit: number
  readonly order: 'asc' | 'desc'
  /** Only completions of calls behind this one, in the order asked for. */
  readonly afterCall?: string | undefined
  readonly model?: string | undefined
  /** Only completions whose metadata has all of these. */
  readonly metadata?: ReadonlyMap<string, string> | undefined
}

/** Rows read at a time of those that a filter lets through: most of them are what is looked for. */
const page = 200

/** Rows that a filter is tried on in one statement: short enough to keep nobody waiting. */
const slice = 2_000

/** Completions are listed by the recorder, with the end of their calls. */
export function storedCompletionStore({ kysely, contents }: Reading) {
  const rowOf = async (userId: string, id: string): Promise<Row<'stored_completions'> | undefined> =>
    isStorable(id)
      ? contents.openOne(
          kysely,
          'stored_completions',
          await kysely
            .selectFrom('stored_completions')
            .selectAll()
            .where('user_id', '=', userId)
            .where('id', '=', id)
            .executeTakeFirst(),
        )
      : undefined

  return {
    async get(userId: string, id: string): Promise<StoredCompletion | undefined> {
      const row = await rowOf(userId, id)
      return row === undefined || row.deleted_at !== null ? undefined : fromRow(row)
    },
    /** The call of a completion, one that is deleted too: a list goes on behind what was taken off it meanwhile. */
    async callOf(userId: string, id: string): Promise<string | undefined> {
      return (await rowOf(userId, id))?.call_id
    },
    /** By the time of their calls. What a filter leaves out is read past, a slice at a time. */
    async list(filter: CompletionFilter): Promise<StoredCompletion[]> {
      const { userId, limit, order, model, metadata = new Map<string, string>() } = filter
      const found: StoredCompletion[] = []
      if (model !== undefined && !isStorable(model)) return found
      const isFiltered = model !== undefined || metadata.size > 0
      const listed = (after: string | undefined) =>
        kysely
          .selectFrom('stored_completions')
          .where('user_id', '=', userId)
          .where('deleted_at', 'is', null)
          .$if(after !== undefined, query => query.where('call_id', order === 'asc' ? '>' : '<', after ?? ''))
          .orderBy('call_id', order)
      if (!isFiltered) {
        const rows = await listed(filter.afterCall).selectAll().limit(limit).execute()
        return (await contents.open(kysely, 'stored_completions', rows)).map(fromRow)
      }
      for (let after = filter.afterCall; ; await setImmediate()) {
        const last = await listed(after)
          .select('call_id')
          .offset(slice - 1)
          .limit(1)
          .executeTakeFirst()
        const end = last?.call_id
        const rows = await listed(after)
          .selectAll()
          .$if(end !== undefined, query => query.where('call_id', order === 'asc' ? '<=' : '>=', end ?? ''))
          .$if(model !== undefined, query => query.where('model', '=', model ?? ''))
          .limit(page)
          .execute()
        const opened = await contents.open(kysely, 'stored_completions', rows)
        const fitting = opened.map(fromRow).filter(completion => hasAll(completion.metadata, metadata))
        found.push(...fitting.slice(0, limit - found.length))
        if (found.length === limit) return found
        if (rows.length === page) after = rows.at(-1)?.call_id
        else if (end === undefined) return found
        else after = end
      }
    },
  }
}

/** Not every database can even be asked for other text; nothing has such a name. */
function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

function hasAll(metadata: Metadata, pairs: ReadonlyMap<string, string>): boolean {
  return [...pairs].every(([key, value]) => Object.hasOwn(metadata, key) && metadata[key] === value)
}

function fromRow(row: Row<'stored_completions'>): StoredCompletion {
  return {
    id: row.id,
    callId: row.call_id,
    model: row.model,
    // Empty when it is not kept.
    metadata: row.metadata === '' ? {} : (JSON.parse(row.metadata) as Metadata),
    createdAt: row.created_at,
  }
}
