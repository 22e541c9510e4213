import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { StoredBatch } from '../../db/batch.ts'
import type { Tables } from '../../db/tables.ts'
import type { MasterKeys } from '../../privacy/key-ring.ts'
import { unwrapKey } from '../../privacy/master-key.ts'
import { type Actor, addEvents, eventRow, operator } from '../../store/audit-events.ts'
import type { Store } from '../../store/contents.ts'
import { type Guard, type LogMark, openGuardRow, readGuard } from '../../store/guard.ts'
import { addSecret, type FindMaster, guardId, holdGuard, secretPurpose } from '../../store/secrets.ts'
import { formatVkey, keyIdOf, type NoteKey, parseVkey } from '../note-keys.ts'
import { broken } from './broken.ts'
import { strangeKeys } from './first-key.ts'
import { ownKeys } from './trusted-keys.ts'

/** A key of the log, its private half at hand. */
export interface SigningKey extends NoteKey {
  readonly privateKey: KeyObject
  readonly isCurrent: boolean
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

type KeyRow = Tables['audit_keys']

/** The secret that is the private half of a key. */
function secretOf(id: string): string {
  return `audit-key:${id}`
}

/** Makes another key the one that signs. The next checkpoint is signed by both. Returns their vkeys. */
export async function rotateAuditKey(
  database: Store,
  by: Actor = operator,
): Promise<{ readonly vkey: string; readonly retired: string }> {
  const { contents } = database
  return database.kysely.transaction().execute(async tx => {
    const master = await holdGuard(tx, database)
    const rows = await tx.selectFrom('audit_keys').selectAll().execute()
    const findMaster: FindMaster = id => contents.masters.find(id ?? '')
    const guard = await readGuard(tx, findMaster)
    const current = currentOf(rows)
    const { own } = await ownKeys(tx, findMaster)
    // A row of a key that somebody else has made must not begin a log.
    if (master === undefined || current === undefined || !own.some(({ id }) => id === current.id))
      throw broken(keyIsGone)
    requireOwn(rows, guard)
    // One ends when the other begins, and no two begin at once.
    const now = Math.max(Date.now(), current.created_at + 1)
    const vkey = await addKey(tx, parseVkey(current.vkey).name, contents.masters.find(master), now)
    await tx.updateTable('audit_keys').set({ retired_at: now }).where('id', '=', current.id).execute()
    const details = { vkey, retired: current.vkey }
    await addEvents(
      tx,
      contents,
      eventRow({ userId: '', by, action: 'audit.key_rotated', target: parseVkey(vkey).id, details }, now),
    )
    return { vkey, retired: current.vkey }
  })
}

const keyIsGone = 'the key that signs it is gone'

export const markIsGone = 'the secret that says that there is a log is gone, or is another'

/** Makes a key of the log. Returns its vkey. */
export async function addKey(
  tx: Kysely<Tables>,
  name: string,
  master: ReturnType<FindMaster>,
  createdAt: number,
): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const id = keyIdOf(name, publicKey)
  const vkey = formatVkey(name, publicKey)
  await addSecret(tx, secretOf(id), master, privateKey.export({ format: 'der', type: 'pkcs8' }))
  await tx.insertInto('audit_keys').values({ id, vkey, created_at: createdAt, retired_at: null }).execute()
  return vkey
}

/** @throws SteleError audit_log_broken when the keys are those of another log */
function requireOwn(rows: readonly KeyRow[], guard: Guard | undefined): LogMark {
  if (guard?.log === undefined) throw broken(markIsGone)
  const reason = strangeKeys(rows, guard.log)
  if (reason !== undefined) throw broken(reason)
  return guard.log
}

/** The key that signs, as the rows of the keys tell. */
export function currentOf(rows: readonly KeyRow[]): KeyRow | undefined {
  const standing = rows.filter(row => row.retired_at === null)
  return standing.toSorted((a, b) => a.created_at - b.created_at).at(-1)
}

/** The keys of a log, and whether events from before it may still be taken in. */
interface HeldKeys {
  readonly keys: readonly SigningKey[]
  readonly takesOld: boolean
}

/**
 * The keys whose private half is there and is what the master key wrapped: a row of a key that somebody else has made is none.
 * @throws SteleError audit_log_broken when there is none that signs, or they are those of another log
 */
export async function signingKeys(batch: StoredBatch, masters: MasterKeys): Promise<HeldKeys> {
  const rows = await batch.first('audit_keys', 1_000)
  const ids = rows.map(({ id }) => ({ id: secretOf(id) }))
  const columns = ['id', 'wrapped_key', 'master_key_id'] as const
  const found = await batch.find('secrets', ['id'], [{ id: guardId }, ...ids], columns)
  const secrets = new Map(found.map(secret => [secret.id, secret]))
  const current = currentOf(rows)
  const keys = rows.flatMap((row): SigningKey[] => {
    const secret = secrets.get(secretOf(row.id))
    if (secret === undefined) return []
    const master = masters.find(secret.master_key_id)
    const privateKey = createPrivateKey({
      key: unwrapKey(master, secretPurpose(secret.id), secret.wrapped_key),
      format: 'der',
      type: 'pkcs8',
    })
    const { name } = parseVkey(row.vkey)
    if (formatVkey(name, createPublicKey(privateKey)) !== row.vkey)
      throw broken(`its key ${row.id} is not the one that was made`)
    return [{ ...parseVkey(row.vkey), privateKey, isCurrent: row === current, createdAt: row.created_at }]
  })
  if (!keys.some(({ isCurrent }) => isCurrent)) throw broken(keyIsGone)
  const guard = secrets.get(guardId)
  const { takesOld } = requireOwn(rows, guard && openGuardRow(guard, id => masters.find(id ?? '')))
  return { keys, takesOld }
}

/** Forgets the private halves of keys that need not sign any more. */
export async function forgetKeys(batch: StoredBatch, keys: readonly SigningKey[]): Promise<void> {
  await batch.remove(
    'secrets',
    ['id'],
    keys.map(({ id }) => ({ id: secretOf(id) })),
  )
}
