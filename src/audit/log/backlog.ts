import type { StoredBatch } from '../../db/batch.ts'
import type { Row, Tables } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import { decodeText, encodeContent } from '../../privacy/content.ts'
import { genuineIn, type Leaf, leafOf, signedRow } from '../../store/audit-queue.ts'
import { type Contents, keyColumns, type Reading } from '../../store/contents.ts'
import { broken } from './broken.ts'

/**
 * Events from before there was a log: two rows of the queue, which the migration has written, tell behind which key none of them
 * is taken in yet, and up to which id there may be such.
 */
const progressId = '0-backlog-at'
const boundId = '0-backlog-end'

/** Whether a row of the queue is one of the two. They come before all others. */
export function isBacklog(queueId: string): boolean {
  return queueId === progressId || queueId === boundId
}

interface BacklogPart {
  readonly leaves: readonly Leaf[]
  /** Notes that they are taken in. */
  readonly note: () => Promise<unknown>
}

/** The next of these events; undefined when there are none left, which is nearly always. @param head of the queue */
export async function takeBacklog(
  batch: StoredBatch,
  contents: Contents,
  head: readonly Tables['audit_queue'][],
  limit: number,
): Promise<BacklogPart | undefined> {
  const bound = head.find(({ id }) => id === boundId)
  const progress = head.find(({ id }) => id === progressId)
  if (bound === undefined || progress === undefined) return undefined
  const end = boundIn(contents, bound)
  const after = keyOf(decodeText(progress.leaves))
  const page = await batch.first('audit_events', limit, after)
  const old = page.filter(({ id }) => id <= end)
  const last = old.at(-1)
  const events = await readable(batch, contents, old)
  const known = await logged(batch, events)
  return {
    leaves: events.filter(event => !known.has(nameOf(event.id, event.user_id))).map(leafOf),
    note:
      last === undefined || page.length < limit || old.length < page.length
        ? () => batch.remove('audit_queue', ['id'], [{ id: boundId }, { id: progressId }])
        : () =>
            batch.update(
              'audit_queue',
              ['leaves'],
              ['id'],
              [
                {
                  set: { leaves: encodeContent(JSON.stringify([last.id, last.user_id])) },
                  match: { id: progressId },
                },
              ],
            ),
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

function keyOf(text: string): readonly string[] | undefined {
  if (text === '') return undefined
  const key: unknown = JSON.parse(text)
  return Array.isArray(key) ? key.map(String) : undefined
}

/** Up to which id there may be events that are not taken in yet; undefined when there are none. @param head of the queue */
export function backlogEnd(contents: Contents, head: readonly Tables['audit_queue'][]): string | undefined {
  const bound = head.find(({ id }) => id === boundId)
  return bound && boundIn(contents, bound)
}

/** @throws SteleError audit_log_broken when somebody else has written it */
function boundIn(contents: Contents, row: Tables['audit_queue']): string {
  const bound = genuineIn(contents, row)
  if (bound === undefined) throw broken('somebody has written how far events are from before there was a log')
  return decodeText(bound)
}

/**
 * Signs what the migration has written, which has no key: once, before anything is in the log. Nobody can say later that there are
 * events from before it.
 */
export async function signBacklog({ kysely, contents }: Reading): Promise<void> {
  const row = await kysely.selectFrom('audit_queue').selectAll().where('id', '=', boundId).executeTakeFirst()
  if (row === undefined || genuineIn(contents, row) !== undefined) return
  const { leaves } = signedRow(contents, boundId, row.leaves)
  await kysely
    .updateTable('audit_queue')
    .set({ leaves })
    .where('id', '=', boundId)
    .where('leaves', '=', row.leaves)
    .where(({ not, exists, selectFrom }) => not(exists(selectFrom('audit_checkpoints').select('tree_size'))))
    .execute()
}
