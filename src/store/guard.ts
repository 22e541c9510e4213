import { randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
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
  /** Whether its log of audit events has been begun: then nobody begins another one. */
  readonly hasLog: boolean
}

/** As long as its key is where a version has made it which seals all content. Older ones are a byte shorter. */
const sealingLength = 33

/** What stands behind the key once there is a log. */
const logMark = Uint8Array.of(0, 1)

function guardFrom(secret: Buffer): Guard {
  const hasLog = secret.byteLength > sealingLength
  const key = hasLog ? secret.subarray(0, secret.byteLength - logMark.byteLength) : secret
  return { key, isSealing: key.byteLength === sealingLength, hasLog }
}

type GuardRow = Pick<Tables['secrets'], 'wrapped_key' | 'master_key_id'>

/** @throws SteleError master_key_mismatch */
function openRow({ wrapped_key, master_key_id }: GuardRow, findMaster: FindMaster): Guard {
  return guardFrom(unwrapKey(findMaster(master_key_id), secretPurpose(guardId), wrapped_key))
}

function select(db: Kysely<Tables>) {
  return db.selectFrom('secrets').select(['wrapped_key', 'master_key_id']).where('id', '=', guardId)
}

/** The guard; undefined where there is none. @throws SteleError master_key_mismatch when somebody else has wrapped it */
export async function readGuard(db: Kysely<Tables>, findMaster: FindMaster): Promise<Guard | undefined> {
  const row = await select(db).executeTakeFirst()
  return row && openRow(row, findMaster)
}

/** Begins the log in the transaction that says that there is one. */
type BeginLog = (tx: Kysely<Tables>, master: MasterKey) => Promise<void>

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
    const isBegun = !(await log.hasBacklog(tx))
    const isFirst = await addSecret(tx, guardId, master, isBegun ? Buffer.concat([key, logMark]) : key)
    if (isFirst && isBegun) await log.begin(tx, master)
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
    const { key, hasLog } = openRow(row, findMaster)
    if (hasLog) return
    const master = findMaster(row.master_key_id)
    await beginLog(tx, master)
    await tx
      .updateTable('secrets')
      .set({ wrapped_key: wrapKey(master, secretPurpose(guardId), Buffer.concat([key, logMark])) })
      .where('id', '=', guardId)
      .execute()
  })
}

/** What is never there before the guard. */
const recorded = [
  'secrets',
  'data_keys',
  'users',
  'conversations',
  'llm_requests',
  'audit_log',
  'audit_checkpoints',
  'audit_keys',
] as const

/** Whether there is anything but what commands without the keys put on record, in a database that nobody has opened. */
async function hasRecord(db: Kysely<Tables>): Promise<boolean> {
  for (const table of recorded) {
    const row = await db.selectFrom(table).select(sql.lit(1).as('one')).limit(1).executeTakeFirst()
    if (row !== undefined) return true
  }
  const event = await db
    .selectFrom('audit_events')
    .select('id')
    .where('action', 'not in', [...writtenWithoutKeys])
    .limit(1)
    .executeTakeFirst()
  return event !== undefined
}
