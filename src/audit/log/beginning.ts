import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { Database } from '../../db/database.ts'
import type { Tables } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import type { Store } from '../../store/contents.ts'
import { digestOfVkey, type Guard, type LogMark, markLog, openGuard } from '../../store/guard.ts'
import type { FindMaster } from '../../store/secrets.ts'
import { isKeyName, parseVkey } from '../note-keys.ts'
import { hasBacklog, signBacklog, signBegunBacklog } from './backlog.ts'
import { firstKeyOf } from './first-key.ts'
import { addKey } from './keys.ts'

/** What the log is called when nobody says: a random name, which stays. */
const originPrefix = 'stele/'

/**
 * The guard of a database. The log of a new one begins with it.
 * @param origin what the log is to be called
 * @throws SteleError config_invalid, database_damaged, master_key_mismatch
 */
export async function openLogGuard(
  database: Database,
  findMaster: FindMaster,
  origin: string | undefined,
): Promise<Guard> {
  if (origin !== undefined && !isKeyName(origin))
    throw new SteleError('config_invalid', {
      problems: 'AUDIT_ORIGIN: a name without white space and without +',
    })
  return openGuard(database, findMaster, {
    hasBacklog,
    begin: async (tx, master) => markOf(await addKey(tx, origin ?? randomName(), master, Date.now()), false),
  })
}

/**
 * Begins the log of a database that never had one. Returns what the log is called, which its first key says for good. A log that is gone
 * has been tampered with: no other is begun, and the sequencer tells.
 * @throws SteleError config_invalid when `origin` is another name than that
 */
export async function ensureLog(
  database: Store,
  findMaster: FindMaster,
  guard: Guard,
  origin: string | undefined,
): Promise<string> {
  const { kysely, contents } = database
  if (guard.log === undefined)
    await markLog(database, findMaster, async (tx, master) => {
      if (await isBegun(tx)) {
        const rows = await tx.selectFrom('audit_keys').selectAll().execute()
        return markOf(firstKeyOf(rows)?.vkey, await signBegunBacklog(tx, contents))
      }
      const vkey = await addKey(tx, origin ?? randomName(), master, Date.now())
      return markOf(vkey, await signBacklog(tx, contents))
    })
  const name = await nameIn(kysely)
  if (origin !== undefined && name !== undefined && origin !== name)
    throw new SteleError('config_invalid', {
      problems: `AUDIT_ORIGIN: the log of this database is called ${name}, and a log keeps its name`,
    })
  return name ?? origin ?? originPrefix
}

function markOf(vkey: string | undefined, takesOld: boolean): LogMark {
  return { firstKey: digestOfVkey(vkey), takesOld }
}

function randomName(): string {
  return `${originPrefix}${randomBytes(8).toString('hex')}`
}

/** Whether a version that made no mark in the guard has begun the log. */
async function isBegun(tx: Kysely<Tables>): Promise<boolean> {
  const secret = tx.selectFrom('secrets').select('id').where('id', 'like', 'audit-key:%')
  const found = [
    await tx.selectFrom('audit_keys').select('id').limit(1).executeTakeFirst(),
    await tx.selectFrom('audit_checkpoints').select('tree_size').limit(1).executeTakeFirst(),
    await tx.selectFrom('audit_log').select('leaf_index').limit(1).executeTakeFirst(),
    await secret.limit(1).executeTakeFirst(),
  ]
  return found.some(row => row !== undefined)
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
