import { SteleError } from '../errors.ts'
import type { Reading } from '../store/contents.ts'
import { entryObject } from './export/entry-object.ts'
import { broken } from './log/broken.ts'
import { type AuditLogReader, auditLogReader, type LoggedEvent } from './log/reader.ts'
import { consistencyProof, inclusionProof, rootAt } from './merkle.ts'
import { leafOfEvent } from './verify/entry.ts'

/** That an event is in the log: all that is needed to verify it but the public key. The members are those of the JSON. */
export interface AuditProof {
  /** The version of the form. */
  readonly audit_proof: 1
  /** As an export has it. */
  readonly entry: Readonly<Record<string, unknown>>
  /** The number of entries of the tree that it is proven in. */
  readonly size: number
  /** Hashes in base64 that lead from the entry to the root, the lowest first. */
  readonly proof: readonly string[]
  /** The signed note that states the root. */
  readonly checkpoint: string
}

/** That the log of one size begins with that of another. The members are those of the JSON. */
export interface AuditConsistency {
  readonly audit_consistency: 1
  readonly from: TreeHead
  readonly to: TreeHead
  /** Hashes in base64. */
  readonly proof: readonly string[]
}

export interface TreeHead {
  readonly size: number
  /** In base64. */
  readonly root: string
  /** The signed note that states this, where there is one of this size. */
  readonly checkpoint: string | null
}

export interface ConsistencySizes {
  readonly from: number
  /** That of the newest checkpoint when left out. */
  readonly to?: number | undefined
}

/** Makes proofs from the log. */
export function auditProofs(reading: Reading) {
  const reader = auditLogReader(reading)

  const sizeOf = async (): Promise<number> => (await reader.latest())?.size ?? 0

  const head = async (size: number): Promise<TreeHead> => ({
    size,
    root: (await rootAt(reader.hashes(), size)).toString('base64'),
    checkpoint: (await reader.checkpointAt(size))?.note ?? null,
  })

  return {
    /**
     * That an event is in the log, by the newest checkpoint.
     * @param userId whose event it is: events of two users may have one id. @throws SteleError audit_event_not_found,
     * audit_event_pending, audit_log_broken
     */
    async prove(eventId: string, userId?: string): Promise<AuditProof> {
      const latest = await reader.latest()
      const entry = await findEntry(reading, reader, eventId, userId)
      // Its checkpoint may be younger than the one that was read.
      const checkpoint = (latest?.size ?? 0) > entry.index ? latest : await reader.latest()
      if (checkpoint === undefined) throw broken('it has no checkpoint')
      const { size, note } = checkpoint
      const proof = await fromTiles(() => inclusionProof(reader.hashes(), entry.index, size))
      return {
        audit_proof: 1,
        entry: entryOf(entry),
        size,
        proof: proof.map(hash => hash.toString('base64')),
        checkpoint: note,
      }
    },
    /** That the log has only grown between two sizes. @throws SteleError invalid_value, audit_log_broken */
    async consistency({ from, to: asked }: ConsistencySizes): Promise<AuditConsistency> {
      const size = await sizeOf()
      const to = asked ?? size
      for (const [name, value] of Object.entries({ from, to }))
        if (!Number.isSafeInteger(value) || value < 0 || value > size)
          throw new SteleError(
            'invalid_value',
            { name, reason: `it must be a size from 0 to ${size}` },
            { param: name },
          )
      if (from > to)
        throw new SteleError(
          'invalid_value',
          { name: 'from', reason: 'it is larger than the other' },
          { param: 'from' },
        )
      return fromTiles(async () => ({
        audit_consistency: 1,
        from: await head(from),
        to: await head(to),
        proof: (await consistencyProof(reader.hashes(), from, to)).map(hash => hash.toString('base64')),
      }))
    },
  }
}

/** An entry of the log with its event, as JSON. @throws SteleError audit_log_broken when the event is gone */
function entryOf({ index, salt, event, eventId }: LoggedEvent): AuditProof['entry'] {
  if (event === undefined) throw broken(`its event ${eventId} is gone`)
  return entryObject({ index, salt, event, leaf: leafOfEvent(event, salt) })
}

async function findEntry(
  { kysely }: Reading,
  reader: AuditLogReader,
  eventId: string,
  userId: string | undefined,
): Promise<LoggedEvent> {
  const found = await reader.find(eventId)
  const entry = found.find(one => userId === undefined || one.userId === userId)
  if (entry !== undefined) return entry
  const event = await kysely
    .selectFrom('audit_events')
    .select('id')
    .where('id', '=', eventId)
    .$if(userId !== undefined, query => query.where('user_id', '=', userId ?? ''))
    .limit(1)
    .executeTakeFirst()
  throw new SteleError(event === undefined ? 'audit_event_not_found' : 'audit_event_pending', {
    event: eventId,
  })
}

/** Work on the tiles of the log; that they are too short is not the mistake of whoever asks. @throws SteleError audit_log_broken */
async function fromTiles<R>(work: () => Promise<R>): Promise<R> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof RangeError) throw broken('hashes of its tree are missing')
    throw error
  }
}
