import type { Kysely } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import {
  givenObject,
  type JsonObject,
  keyText,
  objectFrom,
  pageLimit,
  wholeNumber,
} from '../model/json-object.ts'
import { autoTitles } from './auto-titles.ts'
import type { Reading } from './contents.ts'
import { messageStore } from './messages.ts'

export interface Conversation {
  readonly id: string
  readonly userId: string
  /** The application's own name for it: no two living conversations of a user have the same. */
  readonly sessionId: string | undefined
  /** As it was set. */
  readonly title: string | undefined
  /** The title, or one made from the first message of the user's; undefined when there is none. */
  readonly displayTitle: string | undefined
  readonly intent: string | undefined
  readonly status: string
  readonly metadata: JsonObject | undefined
  readonly preferences: JsonObject | undefined
  /** Where it forked from another, if it did: it shares the messages up to `parentSeq`. */
  readonly parentId: string | undefined
  readonly parentSeq: number | undefined
  /** The sequence number that its next message will have; counts shared messages too. */
  readonly nextSeq: number
  readonly createdAt: number
  /** When something of it was last changed or added. */
  readonly updatedAt: number
  readonly deletedAt: number | undefined
}

/** A place in a list: the conversation that stands there, or its id. */
export type ListPlace = string | Pick<Conversation, 'id' | 'updatedAt'>

export interface ConversationFilter {
  /** Of everyone when left out, which is not to say `undefined`: that is refused. */
  readonly userId?: string
  /** 50 when left out. */
  readonly limit?: number | undefined
  /** Only those that stand behind it: older ones, or with `recent` used earlier. */
  readonly before?: ListPlace | undefined
  /** Only those that stand in front of it, the nearest ones. */
  readonly after?: ListPlace | undefined
  /** Those with a session, by when they were last used; needs a user. Deleted ones are never among them. */
  readonly recent?: boolean | undefined
  /** Deleted ones too, for operators. */
  readonly includeDeleted?: boolean | undefined
}

export function conversationStore(reading: Reading) {
  const { kysely, contents } = reading
  const titlesOf = autoTitles(reading)

  const withTitles = async (stored: readonly Tables['conversations'][]): Promise<Conversation[]> => {
    const rows = await contents.open(kysely, 'conversations', stored)
    const titles = await titlesOf(rows.filter(row => row.title === null))
    return rows.map(row => fromRow(row, row.title ?? titles.get(row)))
  }

  const first = async (rows: Promise<Tables['conversations'][]>): Promise<Conversation | undefined> =>
    (await withTitles(await rows))[0]

  /** Where the list goes on, by the time of last use. */
  const recentPlace = async (userId: string, place: ListPlace): Promise<[number, string]> => {
    if (typeof place !== 'string') return [wholeNumber('updatedAt', place?.updatedAt, 0), idOf(place)]
    const row = await kysely
      .selectFrom('conversations')
      .select('updated_at')
      .where('user_id', '=', keyText('userId', userId))
      .where('id', '=', idOf(place))
      .executeTakeFirst()
    if (row === undefined) throw new SteleError('conversation_not_found', { conversation: place })
    return [row.updated_at, place]
  }

  const recent = async (filter: ConversationFilter): Promise<Tables['conversations'][]> => {
    const { userId, before, after, limit } = filter
    if (userId === undefined)
      throw new SteleError(
        'invalid_value',
        { name: 'userId', reason: 'recent conversations are listed by user' },
        { param: 'userId' },
      )
    let query = kysely
      .selectFrom('conversations')
      .selectAll()
      .where('user_id', '=', keyText('userId', userId))
      .where('session_id', 'is not', null)
      .where('deleted_at', 'is', null)
    if (before !== undefined) {
      const [time, id] = await recentPlace(userId, before)
      query = query.where(eb => eb(eb.refTuple('updated_at', 'id'), '<', eb.tuple(time, id)))
    }
    if (after !== undefined) {
      const [time, id] = await recentPlace(userId, after)
      query = query.where(eb => eb(eb.refTuple('updated_at', 'id'), '>', eb.tuple(time, id)))
    }
    const direction = after === undefined ? 'desc' : 'asc'
    return query
      .orderBy('updated_at', direction)
      .orderBy('id', direction)
      .limit(pageLimit(limit, defaultLimit))
      .execute()
  }

  const byAge = (filter: ConversationFilter): Promise<Tables['conversations'][]> => {
    const { userId, before, after, limit, includeDeleted } = filter
    requireNamed(filter)
    let query = kysely.selectFrom('conversations').selectAll()
    if (userId !== undefined) query = query.where('user_id', '=', keyText('userId', userId))
    if (includeDeleted !== true) query = query.where('deleted_at', 'is', null)
    if (before !== undefined) query = query.where('id', '<', idOf(before))
    if (after !== undefined) query = query.where('id', '>', idOf(after))
    return query
      .orderBy('id', after === undefined ? 'desc' : 'asc')
      .limit(pageLimit(limit, defaultLimit))
      .execute()
  }

  return {
    get(userId: string, id: string): Promise<Conversation | undefined> {
      return first(
        living(kysely)
          .where('user_id', '=', keyText('userId', userId))
          .where('id', '=', keyText('id', id))
          .execute(),
      )
    },
    /** The living conversation that the application gave this name. */
    bySession(userId: string, sessionId: string): Promise<Conversation | undefined> {
      return first(
        living(kysely)
          .where('user_id', '=', keyText('userId', userId))
          .where('session_id', '=', keyText('sessionId', sessionId))
          .execute(),
      )
    },
    /** A conversation by its id alone, for operators. */
    find(id: string): Promise<Conversation | undefined> {
      return first(living(kysely).where('id', '=', keyText('id', id)).execute())
    },
    /** The conversations that were forked from this one, oldest first. */
    async forks(userId: string, id: string): Promise<Conversation[]> {
      const rows = await living(kysely)
        .where('user_id', '=', keyText('userId', userId))
        .where('parent_id', '=', keyText('id', id))
        .orderBy('id')
        .execute()
      return withTitles(rows)
    },
    /**
     * A page of conversations, the newest (or last used) first.
     * @throws SteleError invalid_value, conversation_not_found when the place to go on from is unknown
     */
    async list(filter: ConversationFilter = {}): Promise<Conversation[]> {
      const rows = await (filter.recent === true ? recent(filter) : byAge(filter))
      return withTitles(filter.after === undefined ? rows : rows.reverse())
    },
    /** Every message row from the first up to `upToSeq`, oldest first: what a request is rebuilt from. */
    history: messageStore(reading).history,
  }
}

const defaultLimit = 50

function living(kysely: Kysely<Tables>) {
  return kysely.selectFrom('conversations').selectAll().where('deleted_at', 'is', null)
}

/** Whoever names a user and does not know which one is not to see everybody's. @throws SteleError invalid_value */
export function requireNamed(filter: { readonly userId?: string }): void {
  if ('userId' in givenObject('filter', filter)) keyText('userId', filter.userId)
}

function idOf(place: ListPlace): string {
  return keyText('id', typeof place === 'string' ? place : place?.id)
}

function fromRow(row: Row<'conversations'>, displayTitle: string | undefined): Conversation {
  return {
    id: row.id,
    userId: row.user_id,
    sessionId: row.session_id ?? undefined,
    title: row.title ?? undefined,
    displayTitle,
    intent: row.intent ?? undefined,
    status: row.status,
    metadata: objectFrom(row.metadata),
    preferences: objectFrom(row.preferences),
    parentId: row.parent_id ?? undefined,
    parentSeq: row.parent_seq ?? undefined,
    nextSeq: row.next_seq,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at ?? undefined,
  }
}
