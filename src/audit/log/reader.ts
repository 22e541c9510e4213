import type { Kysely } from 'kysely'
import type { Row, Tables } from '../../db/tables.ts'
import { decodeLeaves, type Leaf } from '../../store/audit-queue.ts'
import type { Reading } from '../../store/contents.ts'
import type { HashReader } from '../merkle.ts'
import { tileHashReader } from '../tiles.ts'
import { isBacklog } from './backlog.ts'

/** A place in the log. */
export interface LoggedLeaf extends Leaf {
  readonly index: number
}

/** What the log has of an event, and the event. */
export interface LoggedEvent extends LoggedLeaf {
  /** Undefined when it is not there any more, which is nobody's right. */
  readonly event: Row<'audit_events'> | undefined
}

/** Some leaves by their index. */
export interface LeafRange {
  readonly from: number
  /** The first that is not meant. */
  readonly to: number
}

export interface StoredCheckpoint {
  readonly size: number
  readonly root: Uint8Array
  /** The signed note. */
  readonly note: string
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

export interface AuditKey {
  /** The key id of the note format, 8 hexadecimal digits. */
  readonly id: string
  readonly vkey: string
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
  readonly retiredAt: number | undefined
}

/** Rows in one answer at most: whoever wants more asks for the next. */
const mostRows = 10_000

/**
 * Reads the log of audit events. Given a snapshot, all answers are of one moment.
 * @throws SteleError content_unreadable, store_unavailable
 */
export function auditLogReader({ kysely, contents }: Reading) {
  const leavesIn = async ({ from, to }: LeafRange): Promise<LoggedLeaf[]> => {
    const rows = await kysely
      .selectFrom('audit_log')
      .selectAll()
      .where('leaf_index', '>=', from)
      .where('leaf_index', '<', Math.min(to, from + mostRows))
      .orderBy('leaf_index')
      .execute()
    return rows.map(leafFrom)
  }
  const withEvents = async (leaves: readonly LoggedLeaf[]): Promise<LoggedEvent[]> => {
    const events = new Map(
      (await contents.open(kysely, 'audit_events', await eventRows(kysely, leaves))).map(row => [
        nameOf(row.id, row.user_id),
        row,
      ]),
    )
    return leaves.map(leaf => ({ ...leaf, event: events.get(nameOf(leaf.eventId, leaf.userId)) }))
  }
  const tile = async (level: number, at: number): Promise<Uint8Array | undefined> => {
    const row = await kysely
      .selectFrom('audit_tiles')
      .select('hashes')
      .where('level', '=', level)
      .where('tile', '=', at)
      .executeTakeFirst()
    return row?.hashes
  }
  return {
    /** The newest checkpoint, which is how far the log goes; undefined before the first. */
    async latest(): Promise<StoredCheckpoint | undefined> {
      const row = await kysely
        .selectFrom('audit_checkpoints')
        .selectAll()
        .orderBy('tree_size', 'desc')
        .limit(1)
        .executeTakeFirst()
      return row && checkpointFrom(row)
    },
    /** The checkpoint of exactly this size. */
    async checkpointAt(size: number): Promise<StoredCheckpoint | undefined> {
      const row = await kysely
        .selectFrom('audit_checkpoints')
        .selectAll()
        .where('tree_size', '=', size)
        .executeTakeFirst()
      return row && checkpointFrom(row)
    },
    /** Checkpoints of more leaves than `after`, the smallest first. */
    async checkpoints({ after = -1, limit }: { after?: number; limit: number }): Promise<StoredCheckpoint[]> {
      const rows = await kysely
        .selectFrom('audit_checkpoints')
        .selectAll()
        .where('tree_size', '>', after)
        .orderBy('tree_size')
        .limit(Math.min(limit, mostRows))
        .execute()
      return rows.map(checkpointFrom)
    },
    /** Leaves by their index, `mostRows` at most. */
    leaves: leavesIn,
    /** The same with their events. */
    async events(range: LeafRange): Promise<LoggedEvent[]> {
      return withEvents(await leavesIn(range))
    },
    /** Some entries with their events, wherever they are, in the order of the log. */
    async eventsAt(indexes: readonly number[]): Promise<LoggedEvent[]> {
      if (indexes.length === 0) return []
      const rows = await kysely
        .selectFrom('audit_log')
        .selectAll()
        .where('leaf_index', 'in', indexes)
        .orderBy('leaf_index')
        .execute()
      return withEvents(rows.map(leafFrom))
    },
    /** Where the event is in the log. Events of different users may have the same id. */
    async find(eventId: string): Promise<LoggedEvent[]> {
      const rows = await kysely
        .selectFrom('audit_log')
        .selectAll()
        .where('event_id', '=', eventId)
        .orderBy('leaf_index')
        .execute()
      return withEvents(rows.map(leafFrom))
    },
    /**
     * What the log has yet to take in, in the order in which it will, `mostRows` of the queue at most. Events from before there
     * was a log are not among them.
     */
    async queued(): Promise<Leaf[]> {
      const rows = await kysely.selectFrom('audit_queue').selectAll().orderBy('id').limit(mostRows).execute()
      return rows.flatMap(row => (isBacklog(row.id) ? [] : (decodeLeaves(row) ?? [])))
    },
    /** The hashes of a tile, one after the other; undefined when there is none. */
    tile,
    /** Reads hashes of the tree as it stands: make another when it has grown. @throws RangeError when a tile is missing */
    hashes(): HashReader {
      return tileHashReader(async (level, at) => (await tile(level, at)) ?? new Uint8Array(0))
    },
    /** The keys that sign, the oldest first; the last one that is not retired signs now. */
    async keys(): Promise<AuditKey[]> {
      const rows = await kysely
        .selectFrom('audit_keys')
        .selectAll()
        .orderBy('created_at')
        .orderBy('id')
        .execute()
      return rows.map(keyFrom)
    },
  }
}

export type AuditLogReader = ReturnType<typeof auditLogReader>

/** Event ids asked for at once. */
const idsAtATime = 1_000

async function eventRows(kysely: Kysely<Tables>, leaves: readonly Leaf[]): Promise<Tables['audit_events'][]> {
  const rows: Tables['audit_events'][] = []
  for (let at = 0; at < leaves.length; at += idsAtATime) {
    const ids = leaves.slice(at, at + idsAtATime).map(({ eventId }) => eventId)
    rows.push(...(await kysely.selectFrom('audit_events').selectAll().where('id', 'in', ids).execute()))
  }
  return rows
}

function checkpointFrom(row: Tables['audit_checkpoints']): StoredCheckpoint {
  return { size: row.tree_size, root: row.root, note: row.note, createdAt: row.created_at }
}

function keyFrom(row: Tables['audit_keys']): AuditKey {
  return {
    id: row.id,
    vkey: row.vkey,
    createdAt: row.created_at,
    retiredAt: row.retired_at ?? undefined,
  }
}

function leafFrom(row: Tables['audit_log']): LoggedLeaf {
  return {
    index: row.leaf_index,
    eventId: row.event_id,
    userId: row.user_id,
    action: row.action,
    category: row.category,
    severity: row.severity,
    salt: row.salt,
    commitment: row.commitment,
  }
}

function nameOf(id: string, userId: string): string {
  return `${id} ${userId}`
}
