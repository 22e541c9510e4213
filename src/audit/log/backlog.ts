import type { Kysely } from 'kysely'
import type { StoredBatch } from '../../db/batch.ts'
import type { Row, Tables } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import { decodeText } from '../../privacy/content.ts'
import { genuineIn, type Leaf, leafOf, signedRow } from '../../store/audit-queue.ts'
import { type Contents, keyColumns, type Reading } from '../../store/contents.ts'
import { endOldEvents } from '../../store/guard.ts'
import { broken } from './broken.ts'

/**
 * Events from before there was a log: a row of the queue tells up to which id there may be such, behind which key none of them is taken in
 * yet, and how large the log is meanwhile. So it is good for nothing once the log has gone on, whoever kept it. The guard tells whether
 * there is such a row: once the last of these events is taken in there never is one again, however large the log may be made to look.
 */
const boundId = '0-backlog-end'

/** The migration has written it without a key, and how far they are taken in as a row of its own. */
const progressId = '0-backlog-at'

/** Whether a row of the queue is that one. It comes before all others. */
export function isBacklog(queueId: string): boolean {
  return queueId === boundId
}

interface Bound {
  readonly end: string
  readonly after: readonly string[] | null
  /** Entries of the log. */
  readonly size: number
}

interface BacklogPart {
  readonly leaves: readonly Leaf[]
  /** Notes that they are taken in. @param added how many of them are new to the log */
  readonly note: (added: number) => Promise<unknown>
}

/**
 * The next of these events; undefined when there are none left, which is nearly always.
 * @param head of the queue
 * @param size of the log
 * @param takesOld what the guard says
 * @throws SteleError audit_log_broken
 */
export async function takeBacklog(
  batch: StoredBatch,
  contents: Contents,
  {
    head,
    size,
    takesOld,
    limit,
  }: { head: readonly Tables['audit_queue'][]; size: number; takesOld: boolean; limit: number },
): Promise<BacklogPart | undefined> {
  const row = expected(
    head.find(({ id }) => isBacklog(id)),
    takesOld,
  )
  if (row === undefined) return undefined
  const { end, after } = boundIn(contents, row, size)
  const page = await batch.first('audit_events', limit + 1, after ?? undefined)
  const old = page.filter(({ id }) => id <= end)
  const part = old.slice(0, limit)
  const last = part.at(-1)
  const isDone = last === undefined || old.length <= limit
  const events = await readable(batch, contents, part)
  const known = await logged(batch, events)
  const key = { id: boundId }
  return {
    leaves: events.filter(event => !known.has(nameOf(event.id, event.user_id))).map(leafOf),
    note: async added => {
      if (isDone) {
        await endOldEvents(batch, contents.masters)
        return batch.remove('audit_queue', ['id'], [key])
      }
      const { leaves } = boundRow(contents, { end, after: [last.id, last.user_id], size: size + added })
      return batch.update('audit_queue', ['leaves'], ['id'], [{ set: { leaves }, match: key }])
    },
  }
}

/** Of these events the names of those that the log has. */
export async function logged(
  batch: StoredBatch,
  events: readonly { readonly id: string; readonly user_id: string }[],
): Promise<Set<string>> {
  const keys = events.map(({ id, user_id }) => ({ event_id: id, user_id }))
  const rows = await batch.find('audit_log', ['event_id', 'user_id'], keys, ['event_id', 'user_id'])
  return new Set(rows.map(row => nameOf(row.event_id, row.user_id)))
}

/** Tells events apart: those of different users may have the same id. */
export function nameOf(id: string, userId: string): string {
  return `${id} ${userId}`
}

/** What of an event nobody can read cannot be committed to: it stays outside, where whoever verifies the log finds it. */
async function readable(
  batch: StoredBatch,
  contents: Contents,
  rows: readonly Tables['audit_events'][],
): Promise<Row<'audit_events'>[]> {
  const open = (some: readonly Tables['audit_events'][]) =>
    contents.openBy(
      names => batch.find('data_keys', ['user_id', 'id'], names, keyColumns),
      'audit_events',
      some,
    )
  try {
    return await open(rows)
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    if (rows.length <= 1) return []
    const middle = Math.ceil(rows.length / 2)
    return [
      ...(await readable(batch, contents, rows.slice(0, middle))),
      ...(await readable(batch, contents, rows.slice(middle))),
    ]
  }
}

/**
 * Up to which id events from before there was a log may still wait to be taken in; undefined when none do.
 * @param size of the log
 * @param takesOld what the guard says
 * @throws SteleError audit_log_broken
 */
export async function waitingBacklog(
  { kysely, contents }: Reading,
  { size, takesOld }: { size: number; takesOld: boolean },
): Promise<string | undefined> {
  const row = expected(await rowOf(kysely, boundId), takesOld)
  return row && boundIn(contents, row, size).end
}

/** @throws SteleError audit_log_broken when the guard says that there is none, or that there is one */
function expected(
  row: Tables['audit_queue'] | undefined,
  takesOld: boolean,
): Tables['audit_queue'] | undefined {
  if (row !== undefined && !takesOld)
    throw broken('somebody says that there are events from before there was a log, and all of them are in it')
  if (row === undefined && takesOld)
    throw broken('what tells how far events are from before there was a log is gone')
  return row
}

/** @throws SteleError audit_log_broken when somebody else has written it, or put it back */
function boundIn(contents: Contents, row: Tables['audit_queue'], size: number): Bound {
  const written = genuineIn(contents, row)
  if (written === undefined || !isBound(written))
    throw broken('somebody has written how far events are from before there was a log')
  const bound: Bound = JSON.parse(written.toString())
  if (bound.size !== size)
    throw broken('somebody has put back how far events are from before there was a log')
  return bound
}

/** An earlier version has signed the id as the migration writes it. */
function isBound(written: Uint8Array): boolean {
  return written[0] === '{'.charCodeAt(0)
}

function boundRow(contents: Contents, bound: Bound): Tables['audit_queue'] {
  return signedRow(contents, boundId, Buffer.from(JSON.stringify(bound)))
}

/** Whether there are events from before there was a log. */
export async function hasBacklog(db: Kysely<Tables>): Promise<boolean> {
  return (await rowOf(db, boundId)) !== undefined
}

/**
 * Signs what the migration has written, which has no key: in the transaction that begins the log, and never again. Nobody can say later
 * that there are events from before it. Returns whether there are.
 */
export async function signBacklog(tx: Kysely<Tables>, contents: Contents): Promise<boolean> {
  const row = await rowOf(tx, boundId)
  if (row === undefined) return false
  await keepBound(tx, contents, { end: decodeText(row.leaves), size: 0 })
  return true
}

/** The same where an earlier version has begun the log, which signed nothing but the id. Left as it is once the log is beyond it. */
export async function signBegunBacklog(tx: Kysely<Tables>, contents: Contents): Promise<boolean> {
  const row = await rowOf(tx, boundId)
  const written = row && genuineIn(contents, row)
  if (written === undefined || isBound(written)) return false
  const end = decodeText(written)
  const { newest, size } = await tx
    .selectFrom('audit_log')
    .select(({ fn }) => [fn.max('event_id').as('newest'), fn.countAll<number>().as('size')])
    .executeTakeFirstOrThrow()
  if ((newest ?? '') > end) return false
  await keepBound(tx, contents, { end, size })
  return true
}

async function keepBound(
  tx: Kysely<Tables>,
  contents: Contents,
  { end, size }: Pick<Bound, 'end' | 'size'>,
): Promise<void> {
  const progress = await rowOf(tx, progressId)
  const { leaves } = boundRow(contents, {
    end,
    after: keyOf(progress === undefined ? '' : decodeText(progress.leaves)),
    size,
  })
  await tx.updateTable('audit_queue').set({ leaves }).where('id', '=', boundId).execute()
  await tx.deleteFrom('audit_queue').where('id', '=', progressId).execute()
}

function keyOf(text: string): readonly string[] | null {
  const key: unknown = text === '' ? null : JSON.parse(text)
  return Array.isArray(key) ? key.map(String) : null
}

function rowOf(db: Kysely<Tables>, id: string): Promise<Tables['audit_queue'] | undefined> {
  return db.selectFrom('audit_queue').selectAll().where('id', '=', id).executeTakeFirst()
}
