import type { StoredBatch } from '../../db/batch.ts'
import { columnsOf, type Tables } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import { addCounts } from '../../store/audit-counts.ts'
import { genuineLeaves, isUnsigned, type Leaf, unsignedLeaves } from '../../store/audit-queue.ts'
import type { Contents, Store } from '../../store/contents.ts'
import { checkpointText } from '../checkpoint.ts'
import { logEntry } from '../event-form.ts'
import { leafHash } from '../merkle.ts'
import { signNote } from '../note.ts'
import { appendToTiles } from './append-tiles.ts'
import { logged, nameOf, takeBacklog } from './backlog.ts'
import { broken } from './broken.ts'
import { forgetKeys } from './keys.ts'
import { type LogState, readState, rootOf } from './state.ts'
import type { AuditStep, AuditStepResult, SignedNote } from './steps.ts'

const eventColumns = columnsOf('audit_events')

/** Rows of the queue that are read at once: one may have the events of hundreds of calls. */
const rowsAtATime = 64

const nothing: AuditStepResult = { sequenced: 0, isDone: true, isElsewhere: false, checkpoint: undefined }

/**
 * Takes what is queued into the log, in one transaction: its rows, the tiles that change, a checkpoint signed over them, and the queue
 * without them. Nobody else does so meanwhile.
 * @throws SteleError audit_log_broken, master_key_mismatch, store_unavailable
 */
export async function doAuditStep(database: Store, step: AuditStep): Promise<AuditStepResult> {
  const run = (careful: boolean) =>
    database.batchAlone('audit-log', batch => sequence(batch, database.contents, step, careful))
  const elsewhere = { ...nothing, isDone: false, isElsewhere: true }
  try {
    return (await run(false)) ?? elsewhere
  } catch (error) {
    // Nearly always nothing is queued that the log has already.
    if (error instanceof SteleError || database.classify(error) !== 'rejected') throw error
    return (await run(true)) ?? elsewhere
  }
}

interface Taken {
  readonly leaves: readonly Leaf[]
  readonly isDone: boolean
  /** Takes it off the queue. @param added how many leaves are new to the log */
  readonly remove: (added: number) => Promise<unknown>
}

async function sequence(
  batch: StoredBatch,
  contents: Contents,
  { limit, published }: AuditStep,
  careful: boolean,
): Promise<AuditStepResult> {
  const [state, head] = await Promise.all([
    readState(batch, contents, published),
    batch.first('audit_queue', rowsAtATime),
  ])
  const { size, takesOld } = state
  const backlog = await takeBacklog(batch, contents, { head, size, takesOld, limit })
  if (head.length === 0) return nothing
  const taken =
    backlog === undefined
      ? await takeQueued(batch, contents, head, limit)
      : { leaves: backlog.leaves, isDone: false, remove: backlog.note }
  const leaves = careful ? await withoutKnown(batch, taken.leaves) : taken.leaves
  const checkpoint = leaves.length === 0 ? undefined : await append(batch, state, leaves)
  await taken.remove(leaves.length)
  return { sequenced: leaves.length, isDone: taken.isDone, isElsewhere: false, checkpoint }
}

async function takeQueued(
  batch: StoredBatch,
  contents: Contents,
  head: readonly Tables['audit_queue'][],
  limit: number,
): Promise<Taken> {
  const leaves: Leaf[] = []
  const ids: string[] = []
  let rows = head
  for (;;) {
    for (const row of rows) {
      if (leaves.length >= limit) break
      const queued = isUnsigned(row)
        ? await unsignedLeaves(row, names =>
            batch.find('audit_events', ['id', 'user_id'], names, eventColumns),
          )
        : genuineLeaves(contents, row)
      if (queued === undefined) throw broken(`what is queued as ${row.id} is not what was written`)
      leaves.push(...queued)
      ids.push(row.id)
    }
    const last = ids.at(-1)
    if (leaves.length >= limit || rows.length < rowsAtATime || last === undefined) break
    rows = await batch.first('audit_queue', rowsAtATime, [last])
  }
  return {
    leaves,
    isDone: leaves.length < limit,
    remove: () =>
      batch.remove(
        'audit_queue',
        ['id'],
        ids.map(id => ({ id })),
      ),
  }
}

/** Without what the log has, and without repetitions. */
async function withoutKnown(batch: StoredBatch, leaves: readonly Leaf[]): Promise<Leaf[]> {
  const known = await logged(
    batch,
    leaves.map(({ eventId, userId }) => ({ id: eventId, user_id: userId })),
  )
  return leaves.filter(({ eventId, userId }) => {
    const name = nameOf(eventId, userId)
    if (known.has(name)) return false
    known.add(name)
    return true
  })
}

async function append(
  batch: StoredBatch,
  { size, keys, signedBy, tiles }: LogState,
  leaves: readonly Leaf[],
): Promise<SignedNote> {
  const hashes = leaves.map(({ eventId, commitment }) => leafHash(logEntry(eventId, commitment)))
  const changed = appendToTiles(size, level => tiles.get(level) ?? new Uint8Array(0), hashes)
  const grown = size + leaves.length
  const edge = new Map(tiles)
  for (const { level, hashes } of changed) edge.set(level, hashes)
  const root = await rootOf(grown, level => edge.get(level))
  const current = keys.filter(({ isCurrent }) => isCurrent)
  // The first checkpoint of a new key is signed by the one before it too: whoever trusts that one may trust this one.
  const isHandover = signedBy.length > 0 && !current.some(({ id }) => signedBy.includes(id))
  const signers = isHandover ? keys.filter(key => key.isCurrent || signedBy.includes(key.id)) : current
  const origin = current[0]?.name ?? ''
  const createdAt = Date.now()
  const newKeys = keys
    .filter(({ id }) => !signedBy.includes(id))
    .map(key => ({ id: key.id, at: key.createdAt }))
  const said = { at: createdAt, after: size, newKeys }
  const note = signNote(checkpointText({ origin, size: grown, root, said }), signers)
  await Promise.all([
    batch.insert(
      'audit_log',
      leaves.map((leaf, at) => ({
        leaf_index: size + at,
        event_id: leaf.eventId,
        user_id: leaf.userId,
        action: leaf.action,
        category: leaf.category,
        severity: leaf.severity,
        salt: leaf.salt,
        commitment: leaf.commitment,
      })),
    ),
    batch.insert(
      'audit_tiles',
      changed.filter(({ isNew }) => isNew).map(({ level, tile, hashes }) => ({ level, tile, hashes })),
    ),
    batch.update(
      'audit_tiles',
      ['hashes'],
      ['level', 'tile'],
      changed
        .filter(({ isNew }) => !isNew)
        .map(({ level, tile, hashes }) => ({ set: { hashes }, match: { level, tile } })),
    ),
    addCounts(batch, leaves),
    batch.insert('audit_checkpoints', [{ tree_size: grown, root, note, created_at: createdAt }]),
  ])
  const others = keys.filter(({ isCurrent }) => !isCurrent)
  if (others.length > 0) await forgetKeys(batch, others)
  return { size: grown, root: root.toString('base64'), note, createdAt }
}
