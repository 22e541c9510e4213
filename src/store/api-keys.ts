import { hash, randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import { type MaskingPolicy, policyOf, policyText } from '../privacy/masking/policy.ts'
import { checkUserId, newUserRow } from './users.ts'

/** What a key may do. `service` may act for any end user; `admin` may do everything. */
const scopes = ['member', 'service', 'admin'] as const
export type Scope = (typeof scopes)[number]

export interface ApiKey {
  readonly id: string
  readonly userId: string
  readonly name: string
  /** The first characters of the key, to tell keys apart. */
  readonly prefix: string
  readonly scopes: readonly Scope[]
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  readonly lastUsedAt: number | undefined
  /** What it demands of every request. */
  readonly masking: MaskingPolicy | undefined
}

const keyStart = 'sk-stele-'
const prefixLength = keyStart.length + 4

/** A new secret: 256 random bits, which is why a plain hash suffices to keep it. */
function newApiKeySecret(): string {
  return keyStart + randomBytes(32).toString('base64url')
}

function hashKey(secret: string): string {
  return hash('sha256', secret, 'base64url')
}

interface NewApiKey {
  readonly userId: string
  readonly name?: string
  readonly scopes?: readonly Scope[]
  readonly expiresAt?: number | undefined
  readonly secret?: string | undefined
  readonly masking?: MaskingPolicy | undefined
}

export function apiKeyStore({ kysely, prompt, exclusively }: Database) {
  return {
    /** Makes a key and, if need be, its user. The secret is in the answer and nowhere else. @throws SteleError invalid_value */
    create(options: NewApiKey): Promise<ApiKey & { secret: string }> {
      return kysely.transaction().execute(tx => insertKey(tx, options))
    },
    /**
     * Makes a key unless there is one already: of this secret when it is given, else any at all. Of gateways that start
     * together on an empty database one makes it.
     */
    createFirst(options: NewApiKey): Promise<(ApiKey & { secret: string }) | undefined> {
      const { secret } = options
      return exclusively(async tx => {
        const known = await tx
          .selectFrom('api_keys')
          .select('id')
          .$if(secret !== undefined, query => query.where('key_hash', '=', hashKey(secret ?? '')))
          .limit(1)
          .executeTakeFirst()
        return known === undefined ? insertKey(tx, options) : undefined
      })
    },
    /** The key of this secret, whatever its state. */
    async findBySecret(secret: string): Promise<ApiKey | undefined> {
      const row = await prompt
        .selectFrom('api_keys')
        .selectAll()
        .where('key_hash', '=', hashKey(secret))
        .executeTakeFirst()
      return row && fromRow(row)
    },
    async list(options: { userId?: string | undefined } = {}): Promise<ApiKey[]> {
      const rows = await kysely
        .selectFrom('api_keys')
        .selectAll()
        .$if(options.userId !== undefined, query => query.where('user_id', '=', options.userId ?? ''))
        .orderBy('id')
        .execute()
      return rows.map(fromRow)
    },
    /** Whether there is any key at all. */
    async any(): Promise<boolean> {
      return (await kysely.selectFrom('api_keys').select('id').limit(1).executeTakeFirst()) !== undefined
    },
    /** Revokes a key by its id. Revoking again changes nothing. @throws SteleError api_key_not_found */
    async revoke(id: string): Promise<ApiKey> {
      return kysely.transaction().execute(async tx => {
        const row = await tx.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst()
        if (row === undefined) throw new SteleError('api_key_not_found', { key: id })
        if (row.revoked_at !== null) return fromRow(row)
        const revokedAt = Date.now()
        await tx.updateTable('api_keys').set({ revoked_at: revokedAt }).where('id', '=', id).execute()
        await tx
          .insertInto('audit_events')
          .values(keyEvent(row, 'api_key.revoked', revokedAt))
          .execute()
        return fromRow({ ...row, revoked_at: revokedAt })
      })
    },
  }
}

async function insertKey(tx: Kysely<Tables>, options: NewApiKey): Promise<ApiKey & { secret: string }> {
  const userId = checkUserId(options.userId)
  const secret = options.secret ?? newApiKeySecret()
  const now = Date.now()
  const row: Row<'api_keys'> = {
    id: newId('apiKey'),
    user_id: userId,
    name: options.name ?? '',
    prefix: secret.slice(0, Math.min(prefixLength, Math.floor(secret.length / 2))),
    key_hash: hashKey(secret),
    scopes: (options.scopes ?? ['member']).join(' '),
    created_at: now,
    expires_at: options.expiresAt ?? null,
    revoked_at: null,
    last_used_at: null,
    masking: policyText(options.masking),
  }
  await tx
    .insertInto('users')
    .values(newUserRow(userId, now))
    .onConflict(conflict => conflict.column('id').doNothing())
    .execute()
  await tx.insertInto('api_keys').values(row).execute()
  await tx
    .insertInto('audit_events')
    .values(keyEvent(row, 'api_key.created', now))
    .execute()
  return { ...fromRow(row), secret }
}

function fromRow(row: Row<'api_keys'>): ApiKey {
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    prefix: row.prefix,
    scopes: row.scopes.split(' ').filter(scope => (scopes as readonly string[]).includes(scope)) as Scope[],
    createdAt: row.created_at,
    expiresAt: row.expires_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
    lastUsedAt: row.last_used_at ?? undefined,
    masking: policyOf(row.masking),
  }
}

function keyEvent(row: Row<'api_keys'>, action: string, createdAt: number): Row<'audit_events'> {
  return {
    user_id: row.user_id,
    id: newId('audit'),
    actor: 'operator',
    action,
    category: 'security',
    severity: 'info',
    target: row.id,
    outcome: 'success',
    details: null,
    created_at: createdAt,
  }
}
