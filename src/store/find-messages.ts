import { setImmediate } from 'node:timers/promises'
import { type SelectQueryBuilder, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import type { Reading } from './contents.ts'

/** One conversation's share of a history: the messages of its own from one seq to another. */
export interface Stretch {
  readonly conversationId: string
  readonly fromSeq: number
  readonly upToSeq: number
}

type Rows = SelectQueryBuilder<Tables, 'messages', Tables['messages']>

/** Places looked at at once while the one of an id is narrowed down. */
const samples = 16

/** As near as that ids are in the order of their messages, though several processes make them. */
const nearby = 64

/** Messages looked at in one statement while a stretch is read through: short enough to keep nobody waiting. */
const slice = 2_000

/** What `responseIdOf` makes of the group of a call, in SQL. */
const responseIdOfCall = sql<string>`'resp_' || substr(coalesce(call.group_id, call.id), 6)`

/**
 * Finds rows of a stretch by what their keys do not tell. Ids need no index for that: they sort by time, and so do messages,
 * nearly always; where they do not, as after an import, the stretch is read through.
 */
export function messageFinder({ kysely, contents }: Reading) {
  const open = (rows: readonly Tables['messages'][]): Promise<Row<'messages'>[]> =>
    contents.open(kysely, 'messages', rows)

  const rowsOf = (userId: string, { conversationId, fromSeq, upToSeq }: Stretch): Rows =>
    kysely
      .selectFrom('messages')
      .selectAll()
      .where('user_id', '=', userId)
      .where('conversation_id', '=', conversationId)
      .where('seq', '>=', fromSeq)
      .where('seq', '<=', upToSeq)

  /** The stretch without the places that nothing is at. */
  const within = async (userId: string, stretch: Stretch): Promise<Stretch> => {
    const last = await rowsOf(userId, stretch).orderBy('seq', 'desc').limit(1).executeTakeFirst()
    return { ...stretch, upToSeq: last?.seq ?? stretch.fromSeq - 1 }
  }

  /** A part of a stretch in which an id is to be expected. */
  const narrowed = async (userId: string, stretch: Stretch, id: string): Promise<Stretch> => {
    const { conversationId } = stretch
    let { fromSeq, upToSeq } = stretch
    while (upToSeq - fromSeq > nearby) {
      const step = (upToSeq - fromSeq) / samples
      const places = Array.from(
        { length: samples - 1 },
        (_, index) => fromSeq + Math.floor(step * (index + 1)),
      )
      const rows = await kysely
        .selectFrom('messages')
        .select(['seq', 'id'])
        .where('user_id', '=', userId)
        .where('conversation_id', '=', conversationId)
        .where('seq', 'in', places)
        .orderBy('seq')
        .execute()
      const before = rows.findLast(row => row.id <= id)?.seq ?? fromSeq
      const behind = rows.find(row => row.id > id && row.seq > before)?.seq ?? upToSeq
      if (before === fromSeq && behind === upToSeq) break
      fromSeq = before
      upToSeq = behind
    }
    return { conversationId, fromSeq: fromSeq - nearby, upToSeq: upToSeq + nearby }
  }

  /** Parts of a stretch, the last one first. Others get their turn in between: a database may be read in this very thread. */
  async function* slices(userId: string, stretch: Stretch): AsyncGenerator<Stretch> {
    const { conversationId, fromSeq, upToSeq } = await within(userId, stretch)
    for (let last = upToSeq; last >= fromSeq; last -= slice) {
      yield { conversationId, fromSeq: Math.max(fromSeq, last - slice + 1), upToSeq: last }
      await setImmediate()
    }
  }

  return {
    /** The messages that have these ids, deleted ones too. */
    async byIds(userId: string, stretch: Stretch, ids: readonly string[]): Promise<Row<'messages'>[]> {
      const all = await within(userId, stretch)
      const found: Tables['messages'][] = []
      for (const id of ids) {
        const { fromSeq, upToSeq } = await narrowed(userId, all, id)
        const part = {
          ...all,
          fromSeq: Math.max(fromSeq, all.fromSeq),
          upToSeq: Math.min(upToSeq, all.upToSeq),
        }
        const row = await rowsOf(userId, part).where('id', '=', id).limit(1).executeTakeFirst()
        if (row !== undefined) found.push(row)
      }
      const missing = ids.filter(id => found.every(row => row.id !== id))
      if (missing.length === 0) return open(found)
      for await (const part of slices(userId, all)) {
        found.push(...(await rowsOf(userId, part).where('id', 'in', missing).execute()))
        if (found.length >= ids.length) break
      }
      return open(found)
    },
    /** The messages that a call brought, deleted ones too; they stand one behind the other, the last one at `upToSeq`. */
    async broughtBy(userId: string, stretch: Stretch, callId: string): Promise<Row<'messages'>[]> {
      const found: Row<'messages'>[] = []
      for (let last = stretch.upToSeq; last >= stretch.fromSeq; last -= slice) {
        const part = { ...stretch, fromSeq: Math.max(stretch.fromSeq, last - slice + 1), upToSeq: last }
        const rows = await rowsOf(userId, part).where('call_id', '=', callId).execute()
        found.push(...(await open(rows)))
        if (rows.length < slice) break
      }
      return found
    },
    /**
     * The messages whose items may have ids that others gave, the last ones first: those whose items are written down, and
     * those of responses.
     */
    async *withGivenIds(userId: string, stretch: Stretch): AsyncGenerator<Row<'messages'>[]> {
      for await (const part of slices(userId, stretch)) {
        const stored = await rowsOf(userId, part)
          .where(eb =>
            eb.or([
              eb('items', 'is not', null),
              eb.exists(
                eb
                  .selectFrom('llm_requests as call')
                  .innerJoin('responses as response', join =>
                    join
                      .onRef('response.user_id', '=', 'call.user_id')
                      .on(on => on('response.id', '=', responseIdOfCall)),
                  )
                  .select('call.id')
                  .whereRef('call.id', '=', 'messages.call_id')
                  .whereRef('call.user_id', '=', 'messages.user_id'),
              ),
            ]),
          )
          .orderBy('seq', 'desc')
          .execute()
        yield await open(stored)
      }
    },
  }
}
