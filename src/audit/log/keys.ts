import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import type { Kysely } from 'kysely'
import type { StoredBatch } from '../../db/batch.ts'
import type { Database } from '../../db/database.ts'
import type { Tables } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import type { MasterKeys } from '../../privacy/key-ring.ts'
import { unwrapKey } from '../../privacy/master-key.ts'
import { type Actor, addEvents, eventRow, operator } from '../../store/audit-events.ts'
import type { Store } from '../../store/contents.ts'
import { addSecret, type FindMaster, holdGuard, secretPurpose } from '../../store/secrets.ts'
import { formatVkey, isKeyName, keyIdOf, type NoteKey, parseVkey } from '../note-keys.ts'
import { broken } from './broken.ts'

/** A key of the log, its private half at hand. */
export interface SigningKey extends NoteKey {
  readonly privateKey: KeyObject
  readonly isCurrent: boolean
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

type KeyRow = Tables['audit_keys']

/** What the log is called when nobody says: a random name, which stays. */
const originPrefix = 'stele/'

/** The secret that is the private half of a key. */
function secretOf(id: string): string {
  return `audit-key:${id}`
}

/**
 * Makes the key that signs, if there never was one. Whoever opens a database does this. Returns what the log is called, which its
 * first key says for good.
 * @throws SteleError config_invalid when `origin` is another name than that, or none
 */
export async function ensureAuditKey(
  database: Database,
  findMaster: FindMaster,
  origin: string | undefined,
): Promise<string> {
  if (origin !== undefined && !isKeyName(origin))
    throw new SteleError('config_invalid', {
      problems: 'AUDIT_ORIGIN: a name without white space and without +',
    })
  const name = (await nameIn(database.kysely)) ?? (await makeFirst(database, findMaster, origin))
  if (origin !== undefined && origin !== name)
    throw new SteleError('config_invalid', {
      problems: `AUDIT_ORIGIN: the log of this database is called ${name}, and a log keeps its name`,
    })
  return name
}

async function nameIn(db: Kysely<Tables>): Promise<string | undefined> {
  const row = await db
    .selectFrom('audit_keys')
    .select('vkey')
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row && parseVkey(row.vkey).name
}

function makeFirst(database: Database, findMaster: FindMaster, origin: string | undefined): Promise<string> {
  return database.kysely.transaction().execute(async tx => {
    const master = await holdGuard(tx, database)
    // Another process may have been first.
    const known = await nameIn(tx)
    if (known !== undefined) return known
    const log = await tx.selectFrom('audit_checkpoints').select('tree_size').limit(1).executeTakeFirst()
    // A log whose key is gone has been tampered with; the sequencer tells.
    if (log !== undefined) return origin ?? originPrefix
    const name = origin ?? `${originPrefix}${randomBytes(8).toString('hex')}`
    await addKey(tx, name, findMaster(master), Date.now())
    return name
  })
}

/** Makes another key the one that signs. The next checkpoint is signed by both. Returns their vkeys. */
export async function rotateAuditKey(
  database: Store,
  by: Actor = operator,
): Promise<{ readonly vkey: string; readonly retired: string }> {
  const { contents } = database
  return database.kysely.transaction().execute(async tx => {
    const master = await holdGuard(tx, database)
    const current = currentOf(await tx.selectFrom('audit_keys').selectAll().execute())
    if (current === undefined || master === undefined) throw broken('it has no key')
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

async function addKey(
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

function currentOf(rows: readonly KeyRow[]): KeyRow | undefined {
  const standing = rows.filter(row => row.retired_at === null)
  return standing.toSorted((a, b) => a.created_at - b.created_at).at(-1)
}

/**
 * The keys whose private half is there and is what the master key wrapped: a row of a key that somebody else has made is none.
 * @throws SteleError audit_log_broken when there is none that signs
 */
export async function signingKeys(batch: StoredBatch, masters: MasterKeys): Promise<SigningKey[]> {
  const rows = await batch.first('audit_keys', 1_000)
  const ids = rows.map(({ id }) => ({ id: secretOf(id) }))
  const found = await batch.find('secrets', ['id'], ids, ['id', 'wrapped_key', 'master_key_id'])
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
  if (!keys.some(({ isCurrent }) => isCurrent)) throw broken('the key that signs it is gone')
  return keys
}

/** Forgets the private halves of keys that need not sign any more. */
export async function forgetKeys(batch: StoredBatch, keys: readonly SigningKey[]): Promise<void> {
  await batch.remove(
    'secrets',
    ['id'],
    keys.map(({ id }) => ({ id: secretOf(id) })),
  )
}
