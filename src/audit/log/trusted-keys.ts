import { createPrivateKey, createPublicKey } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { Tables } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import { type MasterKey, unwrapKey } from '../../privacy/master-key.ts'
import { secretPurpose } from '../../store/secrets.ts'
import { formatVkey, type NoteKey, parseVkey } from '../note-keys.ts'

/** The keys of a log as its own database tells them. */
export interface OwnKeys {
  /** All that ever signed. */
  readonly all: readonly NoteKey[]
  /**
   * Those whose private half is there, wrapped by the master key. Whoever has the database alone cannot add one, so the newest
   * checkpoint must be signed by one of them.
   */
  readonly own: readonly NoteKey[]
}

/** @throws SteleError vkey_invalid */
export async function ownKeys(
  db: Kysely<Tables>,
  findMaster: (id: string | undefined) => MasterKey,
): Promise<OwnKeys> {
  const rows = await db.selectFrom('audit_keys').selectAll().orderBy('created_at').orderBy('id').execute()
  const secrets = await db.selectFrom('secrets').selectAll().where('id', 'like', 'audit-key:%').execute()
  const all = rows.map(({ vkey }) => parseVkey(vkey))
  const own = all.filter(key => {
    const secret = secrets.find(({ id }) => id === `audit-key:${key.id}`)
    if (secret === undefined) return false
    try {
      const master = findMaster(secret.master_key_id)
      const der = unwrapKey(master, secretPurpose(secret.id), secret.wrapped_key)
      const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
      return (
        formatVkey(key.name, createPublicKey(privateKey)) ===
        formatVkey(key.name, key.publicKey, key.algorithm)
      )
    } catch (error) {
      // Wrapped by another master key: somebody else has put it there.
      if (error instanceof SteleError) return false
      throw error
    }
  })
  return { all, own }
}
