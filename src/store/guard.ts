import { createHash, randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { StoredBatch } from '../db/batch.ts'
import type { Database } from '../db/database.ts'
import { type TableName, type Tables, tableNames } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import type { MasterKeys } from '../privacy/key-ring.ts'
import { type MasterKey, unwrapKey, wrapKey } from '../privacy/master-key.ts'
import { writtenWithoutKeys } from './audit-queue.ts'
import { addSecret, type FindMaster, guardId, secretPurpose } from './secrets.ts'

/**
 * The secret that is made first. Its length tells what else there is to tell of its database, and nobody can make one of another length
 * without the master key.
 */
export interface Guard {
  /** With which messages are hashed. */
  readonly key: Buffer
  /** Whether the database has been sealed from the beginning. */
  readonly isSealing: boolean
  /** Its log of audit events, once it has been begun: then nobody begins another one. */
  readonly log: LogMark | undefined
}

/** Which log a database has. */
export interface LogMark {
  /** What `digestOfVkey` makes of its first key. */
  readonly firstKey: Uint8Array
  /** Whether events from before there was a log may still be taken in. Never again once the last of them is. */
  readonly takesOld: boolean
}

/** As long as its key is where a version has made it which seals all content. Older ones are a byte shorter. */
const sealingLength = 33

/** What stands behind the key once there is a log: the form of it, whether old events may be taken in, and the digest of its first key. */
const markForm = 1
const markLength = 34

/** @throws SteleError store_unavailable when a newer version has made it */
function guardFrom(secret: Buffer): Guard {
  const keyLength = secret.byteLength > sealingLength ? secret.byteLength - markLength : secret.byteLength
  const [key, mark] = [secret.subarray(0, keyLength), secret.subarray(keyLength)]
  const isKnown = keyLength >= sealingLength - 1 && (mark.byteLength === 0 || mark[0] === markForm)
  if (!isKnown)
    throw new SteleError('store_unavailable', {
      reason: `this version does not know the form of its ${guardId}`,
    })
  const log = mark.byteLength === 0 ? undefined : { firstKey: mark.subarray(2), takesOld: mark[1] === 1 }
  return { key, isSealing: keyLength === sealingLength, log }
}

function marked(key: Uint8Array, { firstKey, takesOld }: LogMark): Buffer {
  return Buffer.concat([key, Uint8Array.of(markForm, takesOld ? 1 : 0), firstKey])
}

/** SHA-256 of a key of a log as text; zeros, which no key has, where there is none. */
export function digestOfVkey(vkey: string | undefined): Buffer {
  return vkey === undefined ? Buffer.alloc(32) : createHash('sha256').update(vkey).digest()
}

type GuardRow = Pick<Tables['secrets'], 'wrapped_key' | 'master_key_id'>

/** @throws SteleError master_key_mismatch */
export function openGuardRow({ wrapped_key, master_key_id }: GuardRow, findMaster: FindMaster): Guard {
  return guardFrom(unwrapKey(findMaster(master_key_id), secretPurpose(guardId), wrapped_key))
}

function select(db: Kysely<Tables>) {
  return db.selectFrom('secrets').select(['wrapped_key', 'master_key_id']).where('id', '=', guardId)
}

/** The guard; undefined where there is none. @throws SteleError master_key_mismatch when somebody else has wrapped it */
export async function readGuard(db: Kysely<Tables>, findMaster: FindMaster): Promise<Guard | undefined> {
  const row = await select(db).executeTakeFirst()
  return row && openGuardRow(row, findMaster)
}

/** Begins the log in the transaction that says that there is one, and tells which it is. */
type BeginLog = (tx: Kysely<Tables>, master: MasterKey) => Promise<LogMark>

/**
 * The guard, made where nothing has been recorded yet. The log begins in the same transaction, unless there are events from before it.
 * @throws SteleError database_damaged when it is gone, master_key_mismatch
 */
export async function openGuard(
  database: Database,
  findMaster: FindMaster,
  log: { readonly hasBacklog: (tx: Kysely<Tables>) => Promise<boolean>; readonly begin: BeginLog },
): Promise<Guard> {
  const { kysely } = database
  const existing = await readGuard(kysely, findMaster)
  if (existing !== undefined) return existing
  const isUsed = await hasRecord(kysely)
  // Whoever makes one elsewhere makes it with all that comes with it.
  const others = isUsed ? await readGuard(kysely, findMaster) : undefined
  if (others !== undefined) return others
  if (isUsed) {
    const reason = `its first secret (${guardId}) is gone, and there is what was recorded with it`
    throw new SteleError('database_damaged', { database: database.location.display, reason })
  }
  await kysely.transaction().execute(async tx => {
    const master = findMaster(undefined)
    const key = randomBytes(sealingLength)
    const isFirst = await addSecret(tx, guardId, master, key)
    if (!isFirst || (await log.hasBacklog(tx))) return
    await keepMarked(tx, master, key, await log.begin(tx, master))
  })
  const made = await readGuard(kysely, findMaster)
  if (made === undefined)
    throw new SteleError('store_unavailable', { reason: `the secret ${guardId} was not kept` })
  return made
}

/**
 * Notes in the guard that there is a log. Whoever wraps everything anew meanwhile waits, and so does whoever else does the same.
 * @param beginLog is done once, by whoever is first
 */
export async function markLog(database: Database, findMaster: FindMaster, beginLog: BeginLog): Promise<void> {
  await database.kysely.transaction().execute(async tx => {
    const row = await select(tx).modifyEnd(database.forUpdate).executeTakeFirstOrThrow()
    const { key, log } = openGuardRow(row, findMaster)
    if (log !== undefined) return
    const master = findMaster(row.master_key_id)
    await keepMarked(tx, master, key, await beginLog(tx, master))
  })
}

async function keepMarked(
  tx: Kysely<Tables>,
  master: MasterKey,
  key: Uint8Array,
  mark: LogMark,
): Promise<void> {
  await tx
    .updateTable('secrets')
    .set({ wrapped_key: wrapKey(master, secretPurpose(guardId), marked(key, mark)) })
    .where('id', '=', guardId)
    .execute()
}

/**
 * Notes in the guard that no event from before there was a log is taken in any more. Whoever wraps everything anew waits until commit.
 * @throws SteleError master_key_mismatch
 */
export async function endOldEvents(batch: StoredBatch, masters: MasterKeys): Promise<void> {
  const columns = ['wrapped_key', 'master_key_id'] as const
  const rows = await batch.find('secrets', ['id'], [{ id: guardId }], columns, { lock: true })
  for (const row of rows) {
    const master = masters.find(row.master_key_id)
    const { key, log } = openGuardRow(row, () => master)
    if (log === undefined) continue
    const secret = marked(key, { ...log, takesOld: false })
    const set = { wrapped_key: wrapKey(master, secretPurpose(guardId), secret) }
    await batch.update('secrets', ['wrapped_key'], ['id'], [{ set, match: { id: guardId } }])
  }
}

/**
 * What may be there before the guard: events that commands without the keys put on record, which are looked at one by one, with what waits
 * for the log, and what a migration queues for the search.
 */
const mayComeFirst: ReadonlySet<TableName> = new Set(['audit_events', 'audit_queue', 'search_queue'])

/** Whether there is anything but what commands without the keys put on record, in a database that nobody has opened. */
async function hasRecord(db: Kysely<Tables>): Promise<boolean> {
  const recorded = tableNames.filter(table => !mayComeFirst.has(table))
  const holds = sql.join(
    recorded.map(table => sql`EXISTS (SELECT 1 FROM ${sql.table(table)})`),
    sql` OR `,
  )
  const { rows } = await sql`SELECT 1 AS one WHERE ${holds}`.execute(db)
  if (rows.length > 0) return true
  const event = await db
    .selectFrom('audit_events')
    .select('id')
    .where('action', 'not in', [...writtenWithoutKeys])
    .limit(1)
    .executeTakeFirst()
  return event !== undefined
}
