import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import { columnText, keyText } from '../model/json-object.ts'
import { roleOf } from '../model/permissions.ts'
import { type Actor, actorText, addEvents, eventRow, operator } from '../store/audit-events.ts'
import type { Store } from '../store/contents.ts'
import { checkUserId } from '../store/users.ts'

/**
 * Break-glass grants: an administrator may read what is stored of one user, for a reason and for a while. Making one,
 * every use and its end are audit events of that user.
 */
export interface Grant {
  readonly id: string
  /** Whose content it opens. */
  readonly userId: string
  /** The administrator who may read. */
  readonly holder: string
  readonly reason: string
  readonly grantedBy: string
  readonly createdAt: number
  readonly expiresAt: number
  readonly revokedAt: number | undefined
}

export interface NewGrant {
  readonly userId: string
  readonly holder: string
  readonly reason: string
  readonly expiresAt: number
}

/** Milliseconds that a grant may last. */
export const longestGrant = 86_400_000

const shortestReason = 10
const longestReason = 1_000

export interface GrantFilter {
  readonly userId?: string | undefined
  readonly holder?: string | undefined
  readonly after?: string | undefined
  readonly limit: number
}

export function grantStore({
  kysely,
  prompt,
  forUpdate,
  contents,
}: Pick<Store, 'kysely' | 'prompt' | 'forUpdate' | 'contents'>) {
  return {
    /** @throws SteleError invalid_value, user_not_found */
    async create({ userId, holder, reason, expiresAt }: NewGrant, by: Actor = operator): Promise<Grant> {
      const now = Date.now()
      checkUserId(userId)
      columnText('reason', reason.trim(), { least: shortestReason, most: longestReason })
      if (!(expiresAt > now && expiresAt <= now + longestGrant))
        throw invalid('expires_in', 'a grant lasts a day at most')
      const row: Row<'break_glass_grants'> = {
        user_id: userId,
        id: newId('grant'),
        holder,
        reason: reason.trim(),
        granted_by: actorText(by),
        created_at: now,
        expires_at: Math.trunc(expiresAt),
        revoked_at: null,
      }
      return kysely.transaction().execute(async tx => {
        const people = await tx
          .selectFrom('users')
          .select(['id', 'role'])
          .where('id', 'in', [userId, holder])
          .execute()
        if (!people.some(({ id }) => id === userId))
          throw new SteleError('user_not_found', { user: userId }, { param: 'user' })
        if (!people.some(({ id, role }) => id === holder && roleOf(role) === 'admin'))
          throw invalid('holder', 'a grant is for an administrator')
        if (userId === holder) throw invalid('user', 'one reads what is one’s own without a grant')
        await tx.insertInto('break_glass_grants').values(row).execute()
        const details = { holder, reason: row.reason, expires_at: row.expires_at }
        const event = {
          userId,
          by,
          action: 'break_glass.granted',
          target: row.id,
          details,
        } as const
        await addEvents(tx, contents, eventRow(event, now))
        return fromRow(row)
      })
    },
    /**
     * Uses the grant that lets `holder` read what is stored of `userId`, and records that before anything is read. Undefined
     * when there is none.
     * @param what is read, as a route
     */
    use(holder: string, userId: string, what: string): Promise<Grant | undefined> {
      const now = Date.now()
      return prompt.transaction().execute(async tx => {
        const row = await tx
          .selectFrom('break_glass_grants')
          .selectAll()
          .where('holder', '=', holder)
          .where('user_id', '=', userId)
          .where('revoked_at', 'is', null)
          .where('expires_at', '>', now)
          .orderBy('expires_at', 'desc')
          .limit(1)
          .executeTakeFirst()
        if (row === undefined) return undefined
        const event = { userId, by: { userId: holder }, action: 'break_glass.used', target: row.id } as const
        const details = { route: what }
        await addEvents(tx, contents, eventRow({ ...event, details }, now))
        return fromRow(row)
      })
    },
    /** Grants in order of their ids, after `after`, those that are over included. */
    async list({ userId, holder, after, limit }: GrantFilter): Promise<Grant[]> {
      const rows = await kysely
        .selectFrom('break_glass_grants')
        .selectAll()
        .$if(userId !== undefined, query => query.where('user_id', '=', userId ?? ''))
        .$if(holder !== undefined, query => query.where('holder', '=', holder ?? ''))
        .$if(after !== undefined, query => query.where('id', '>', after ?? ''))
        .orderBy('id')
        .limit(limit)
        .execute()
      return rows.map(fromRow)
    },
    /** Ends a grant. Again changes nothing. @throws SteleError grant_not_found */
    revoke(id: string, by: Actor = operator): Promise<Grant> {
      return kysely.transaction().execute(async tx => {
        const found = tx.selectFrom('break_glass_grants').selectAll().where('id', '=', keyText('grant', id))
        const row = await found.modifyEnd(forUpdate).executeTakeFirst()
        if (row === undefined) throw new SteleError('grant_not_found', { grant: id })
        if (row.revoked_at !== null) return fromRow(row)
        const now = Date.now()
        await tx
          .updateTable('break_glass_grants')
          .set({ revoked_at: now })
          .where('user_id', '=', row.user_id)
          .where('id', '=', id)
          .execute()
        const event = { userId: row.user_id, by, action: 'break_glass.revoked', target: id } as const
        await addEvents(tx, contents, eventRow(event, now))
        return fromRow({ ...row, revoked_at: now })
      })
    },
  }
}

function invalid(name: string, reason: string): SteleError {
  return new SteleError('invalid_value', { name, reason }, { param: name })
}

function fromRow(row: Row<'break_glass_grants'>): Grant {
  return {
    id: row.id,
    userId: row.user_id,
    holder: row.holder,
    reason: row.reason,
    grantedBy: row.granted_by,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at ?? undefined,
  }
}
