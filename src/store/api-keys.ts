import type { ExpressionBuilder, Kysely } from 'kysely'
import { type CompressionName, isCompressionName } from '../compression/levels.ts'
import type { ContentMode } from '../db/batch.ts'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { AuditAction } from '../model/audit-actions.ts'
import { type KeyCaching, keyCachingOf, keyCachingText } from '../model/caching.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { type JsonObject, keyText } from '../model/json-object.ts'
import { isScope, type Role, roleNeededFor, roleOf, roles, type Scope } from '../model/permissions.ts'
import { type MaskingPolicy, policyOf, policyText } from '../privacy/masking/policy.ts'
import { isContentMode } from '../privacy/sealed-content.ts'
import { type Actor, addEvents, type EventRow, eventRow, operator } from './audit-events.ts'
import type { Contents, Store } from './contents.ts'
import { hashToken, isOwnToken, isSameHash, mayBeToken, newToken } from './token.ts'
import { checkUserId, newUserRow } from './users.ts'

export type { Scope } from '../model/permissions.ts'

/** What a key demands of every request that is made with it. */
export interface KeySettings {
  /** How what is said with it is kept; undefined where its user's mode holds. */
  readonly contentMode?: ContentMode | undefined
  readonly masking?: MaskingPolicy | undefined
  /** How its calls are cached, where that differs from everybody's. */
  readonly cache?: KeyCaching | undefined
  /** How the prompts of its requests are compressed; undefined where the configuration decides. */
  readonly compression?: CompressionName | undefined
}

export interface ApiKey extends Required<KeySettings> {
  readonly id: string
  readonly userId: string
  readonly name: string
  /** The first characters of the key, to tell keys apart. */
  readonly prefix: string
  /** What it may do at most; its user's role may allow less. */
  readonly scopes: readonly Scope[]
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  readonly lastUsedAt: number | undefined
  /** When it got its present secret, if that is not its first. */
  readonly rotatedAt: number | undefined
  /** Until when the secret before that is good too. */
  readonly previousExpiresAt: number | undefined
  /** The administrator who has seen its secret, when that is not its user. */
  readonly issuedBy: string | undefined
}

/** A key that was found by its secret, and whose it is. */
export interface KeyHolder {
  readonly key: ApiKey
  readonly role: Role
  readonly isActive: boolean
  /** When this secret of it ends; undefined when it has no end. */
  readonly validUntil: number | undefined
}

const keyStart = 'sk-stele-'
const shownLength = 4

interface NewApiKey extends KeySettings {
  readonly userId: string
  readonly name?: string
  readonly scopes?: readonly Scope[]
  readonly expiresAt?: number | undefined
  readonly secret?: string | undefined
  /** Who makes it; the operator when left out, who may give its user the role that it needs. */
  readonly by?: Actor | undefined
}

interface Rotation {
  readonly by?: Actor | undefined
  /** Milliseconds for which the secret that it had stays good. */
  readonly grace: number
}

/** @param hashes keyed with a secret of the store */
export function apiKeyStore(
  { kysely, prompt, exclusively, forUpdate, contents }: Store,
  hashes: Pick<ConversationHashes, 'apiKey'>,
) {
  /**
   * What may be kept of a secret, what is kept of new ones first. Those that somebody made up can be guessed, so whoever
   * has no more than the database must not be able to try guesses; of some kept by earlier versions that is not so yet.
   */
  const hashesOf = (secret: string): [string, ...string[]] =>
    isOwnToken(keyStart, secret) ? [hashToken(secret)] : [hashes.apiKey(secret), hashToken(secret)]

  const changeKey = <R>(
    id: string,
    change: (tx: Kysely<Tables>, row: Row<'api_keys'>, now: number) => Promise<R>,
  ): Promise<R> =>
    kysely.transaction().execute(async tx => {
      const found = tx.selectFrom('api_keys').selectAll().where('id', '=', keyText('key', id))
      const row = await found.modifyEnd(forUpdate).executeTakeFirst()
      if (row === undefined) throw new SteleError('api_key_not_found', { key: id })
      return change(tx, row, Date.now())
    })
  return {
    /** Makes a key and, if need be, its user. The secret is in the answer and nowhere else. @throws SteleError invalid_value */
    create(options: NewApiKey): Promise<ApiKey & { secret: string }> {
      return kysely.transaction().execute(tx => insertKey(tx, contents, options, hashesOf))
    },
    /**
     * Makes a key unless there is one already: of this secret when it is given, else any at all. Of gateways that start
     * together on an empty database one makes it. A secret that a key had before it was rotated does not come back.
     */
    createFirst(options: NewApiKey): Promise<(ApiKey & { secret: string }) | undefined> {
      const { secret } = options
      return exclusively(async tx => {
        const kept = secret === undefined ? undefined : hashesOf(secret)
        const known = await tx
          .selectFrom('api_keys')
          .select(['id', 'key_hash'])
          .$if(kept !== undefined, query => query.where(has(kept ?? [])))
          .limit(1)
          .executeTakeFirst()
        if (known === undefined) return insertKey(tx, contents, options, hashesOf)
        const [best, outdated] = kept ?? []
        if (best !== undefined && known.key_hash === outdated)
          await tx.updateTable('api_keys').set({ key_hash: best }).where('id', '=', known.id).execute()
        return undefined
      })
    },
    /** Whether a key has this secret, or had it before it was rotated, and it is kept as new ones are. */
    async isInstalled(secret: string): Promise<boolean> {
      const kept = hashesOf(secret)
      const row = await prompt.selectFrom('api_keys').select('key_hash').where(has(kept)).executeTakeFirst()
      return row !== undefined && row.key_hash !== kept[1]
    },
    /** The key of this secret, whatever its state. */
    async findBySecret(secret: string): Promise<ApiKey | undefined> {
      const row = await prompt
        .selectFrom('api_keys')
        .selectAll()
        .where('key_hash', 'in', hashesOf(secret))
        .executeTakeFirst()
      return row && fromRow(row)
    },
    /** The key that lets in whoever has this secret, with the role of its user; undefined when it is none, or revoked. */
    async holder(secret: string): Promise<KeyHolder | undefined> {
      if (!mayBeToken(keyStart, secret)) return undefined
      const kept = hashesOf(secret)
      const row = await prompt
        .selectFrom('api_keys')
        .leftJoin('users', 'users.id', 'api_keys.user_id')
        .selectAll('api_keys')
        .select(['users.role', 'users.status', 'users.deleted_at'])
        .where(has(kept))
        .executeTakeFirst()
      if (row === undefined || row.revoked_at !== null) return undefined
      const isPresent = kept.some(hash => isSameHash(row.key_hash, hash))
      if (!isPresent && !kept.some(hash => isSameHash(row.previous_hash ?? '', hash))) return undefined
      const ends = [row.expires_at, isPresent ? null : (row.previous_expires_at ?? 0)].filter(
        end => end !== null,
      )
      return {
        key: fromRow(row),
        role: roleOf(row.role),
        isActive: row.deleted_at === null && (row.status ?? 'active') === 'active',
        validUntil: ends.length === 0 ? undefined : Math.min(...ends),
      }
    },
    async get(id: string): Promise<ApiKey | undefined> {
      const row = await kysely
        .selectFrom('api_keys')
        .selectAll()
        .where('id', '=', keyText('key', id))
        .executeTakeFirst()
      return row && fromRow(row)
    },
    /** Keys in order of their ids, after `after`; all when no limit is given. */
    async list(
      options: { userId?: string | undefined; after?: string | undefined; limit?: number | undefined } = {},
    ): Promise<ApiKey[]> {
      const { userId, after, limit } = options
      const rows = await kysely
        .selectFrom('api_keys')
        .selectAll()
        .$if(userId !== undefined, query => query.where('user_id', '=', userId ?? ''))
        .$if(after !== undefined, query => query.where('id', '>', after ?? ''))
        .orderBy('id')
        .$if(limit !== undefined, query => query.limit(limit ?? 0))
        .execute()
      return rows.map(fromRow)
    },
    /** Whether there is any key at all. */
    async any(): Promise<boolean> {
      return (await kysely.selectFrom('api_keys').select('id').limit(1).executeTakeFirst()) !== undefined
    },
    /** Revokes a key by its id. Revoking again changes nothing. @throws SteleError api_key_not_found */
    revoke(id: string, { by = operator }: { by?: Actor } = {}): Promise<ApiKey> {
      return changeKey(id, async (tx, row, now) => {
        if (row.revoked_at !== null) return fromRow(row)
        await tx.updateTable('api_keys').set({ revoked_at: now }).where('id', '=', id).execute()
        await addEvents(tx, contents, keyEvent(row, 'api_key.revoked', by, now))
        return fromRow({ ...row, revoked_at: now })
      })
    },
    /**
     * Changes what a key demands of its requests, but for how what is said with it is kept. What it has sent is as it was.
     * @param change says what it is to be of what it is. May refuse by raising.
     * @throws SteleError api_key_not_found
     */
    update(
      id: string,
      change: (key: ApiKey) => Omit<KeySettings, 'contentMode'>,
      { by = operator }: { by?: Actor } = {},
    ): Promise<ApiKey> {
      return changeKey(id, async (tx, row, now) => {
        const { masking, cache, compression = null } = change(fromRow(row))
        const set = { masking: policyText(masking), cache: keyCachingText(cache), compression }
        await tx.updateTable('api_keys').set(set).where('id', '=', id).execute()
        await addEvents(tx, contents, keyEvent(row, 'api_key.updated', by, now, set))
        return fromRow({ ...row, ...set })
      })
    },
    /**
     * Gives a key a new secret; the one it had stays good for a while, the one before that does not. One that an administrator
     * has seen ends at once when nobody but its user has seen the new one: it would read what that may read.
     * @throws SteleError api_key_not_found, invalid_value when it is revoked
     */
    rotate(id: string, { by = operator, grace }: Rotation): Promise<ApiKey & { secret: string }> {
      return changeKey(id, async (tx, row, now) => {
        if (row.revoked_at !== null)
          throw new SteleError('invalid_value', { name: 'key', reason: 'it is revoked' }, { param: 'key' })
        const secret = newToken(keyStart)
        const issuer = issuerOf(by, row.user_id)
        const isTakenOver = row.issued_by !== null && issuer === null
        const set = {
          prefix: prefixOf(secret),
          key_hash: hashToken(secret),
          previous_hash: row.key_hash,
          previous_expires_at: isTakenOver ? now : now + grace,
          rotated_at: now,
          issued_by: issuer,
        }
        await tx.updateTable('api_keys').set(set).where('id', '=', id).execute()
        await addEvents(tx, contents, keyEvent(row, 'api_key.rotated', by, now))
        return { ...fromRow({ ...row, ...set }), secret }
      })
    },
  }
}

/** Whether a key has one of these as its hash, or had it before it was rotated. */
function has(hashes: readonly string[]) {
  return (where: ExpressionBuilder<Tables, 'api_keys'>) =>
    where.or([where('key_hash', 'in', hashes), where('previous_hash', 'in', hashes)])
}

async function insertKey(
  tx: Kysely<Tables>,
  contents: Contents,
  options: NewApiKey,
  hashesOf: (secret: string) => [string, ...string[]],
): Promise<ApiKey & { secret: string }> {
  const userId = checkUserId(options.userId)
  const { by = operator, scopes = ['member'] } = options
  const secret = options.secret ?? newToken(keyStart)
  const now = Date.now()
  const row: Row<'api_keys'> = {
    id: newId('apiKey'),
    user_id: userId,
    name: options.name ?? '',
    prefix: prefixOf(secret),
    key_hash: hashesOf(secret)[0],
    scopes: scopes.join(' '),
    created_at: now,
    expires_at: options.expiresAt ?? null,
    revoked_at: null,
    last_used_at: null,
    content_mode: options.contentMode ?? null,
    previous_hash: null,
    previous_expires_at: null,
    rotated_at: null,
    issued_by: issuerOf(by, userId),
    masking: policyText(options.masking),
    cache: keyCachingText(options.cache),
    compression: options.compression ?? null,
  }
  await tx
    .insertInto('users')
    .values(newUserRow(userId, now))
    .onConflict(conflict => conflict.column('id').doNothing())
    .execute()
  // Whoever was erased comes back with a key as with a first word.
  await tx
    .updateTable('users')
    .set({ status: 'active' })
    .where('id', '=', userId)
    .where('status', '=', 'erased')
    .execute()
  if (by.userId === undefined) await raiseRole(tx, contents, userId, { scopes, by, now })
  await tx.insertInto('api_keys').values(row).execute()
  await addEvents(tx, contents, keyEvent(row, 'api_key.created', by, now))
  return { ...fromRow(row), secret }
}

/** A key cannot do more than its user: whoever gives somebody such a key makes them what it needs. */
async function raiseRole(
  tx: Kysely<Tables>,
  contents: Contents,
  userId: string,
  { scopes, by, now }: { scopes: readonly Scope[]; by: Actor; now: number },
): Promise<void> {
  const needed = roleNeededFor(scopes)
  if (needed === undefined) return
  const user = await tx.selectFrom('users').select('role').where('id', '=', userId).executeTakeFirst()
  const role = roleOf(user?.role)
  if (roles.indexOf(role) >= roles.indexOf(needed)) return
  await tx.updateTable('users').set({ role: needed }).where('id', '=', userId).execute()
  const details = { from: role, to: needed }
  const event = { userId, by, action: 'user.role_changed', target: userId, details } as const
  await addEvents(tx, contents, eventRow(event, now))
}

/** The administrator who sees a secret that is somebody else's. The operator could read everything without it. */
function issuerOf({ userId }: Actor, owner: string): string | null {
  return userId === undefined || userId === owner ? null : userId
}

/** Of a key that somebody made up the rest must stay hard to guess. */
function prefixOf(secret: string): string {
  const start = secret.startsWith(keyStart) ? keyStart.length : 0
  return secret.slice(0, start + shownLength)
}

function fromRow(row: Row<'api_keys'>): ApiKey {
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    prefix: row.prefix,
    scopes: row.scopes.split(' ').filter(isScope),
    contentMode: isContentMode(row.content_mode) ? row.content_mode : undefined,
    createdAt: row.created_at,
    expiresAt: row.expires_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
    lastUsedAt: row.last_used_at ?? undefined,
    rotatedAt: row.rotated_at ?? undefined,
    previousExpiresAt: row.previous_expires_at ?? undefined,
    issuedBy: row.issued_by ?? undefined,
    masking: policyOf(row.masking),
    cache: keyCachingOf(row.cache),
    compression: isCompressionName(row.compression) ? row.compression : undefined,
  }
}

function keyEvent(
  row: Row<'api_keys'>,
  action: AuditAction,
  by: Actor,
  now: number,
  details?: JsonObject,
): EventRow {
  return eventRow({ userId: row.user_id, by, action, target: row.id, details }, now)
}
