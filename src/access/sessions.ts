import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { newId } from '../ids.ts'
import { type Role, roleOf } from '../model/permissions.ts'
import { hashToken, isSameHash, mayBeToken, newToken } from '../store/token.ts'
import type { DoAccessStep } from './steps.ts'

/** Sessions of people who logged in. A session is an opaque token, of which a hash is kept, and ends by itself. */

export const sessionTokenStart = 'ss-stele-'

/** How long a session goes on, in milliseconds. */
export interface SessionTimes {
  /** Without a request. */
  readonly idle: number
  /** Whatever is done. */
  readonly absolute: number
}

export interface LoginSession {
  readonly id: string
  readonly userId: string
  readonly createdAt: number
  readonly lastSeenAt: number
  /** When it ends, whatever is done. */
  readonly expiresAt: number
}

export interface SessionHolder {
  readonly session: LoginSession
  readonly role: Role
  readonly isActive: boolean
  /** When it ends if nothing is done with it. */
  readonly validUntil: number
}

/** Days for which it is remembered where somebody logged in from. */
const rememberedFor = 30 * 86_400_000

/** When a session was last seen need not be known better than this, in milliseconds. */
const seenEvery = 60_000

export interface SessionStart {
  readonly userId: string
  readonly place: string
  readonly times: SessionTimes
  readonly now: number
}

/** A session as it begins. The token is in the answer and nowhere else. */
export function newSession({ userId, place, times, now }: SessionStart): {
  readonly row: Row<'login_sessions'>
  readonly session: LoginSession & { token: string }
} {
  const token = newToken(sessionTokenStart)
  const row: Row<'login_sessions'> = {
    user_id: userId,
    id: newId('login'),
    token_hash: hashToken(token),
    place,
    created_at: now,
    last_seen_at: now,
    expires_at: now + times.absolute,
    ended_at: null,
  }
  return { row, session: { ...fromRow(row), token } }
}

/** Ends sessions of a user: one, or all but one. Returns their ids. */
export async function endSessions(
  tx: Kysely<Tables>,
  userId: string,
  { only, except, now }: { only?: string | undefined; except?: string | undefined; now: number },
): Promise<string[]> {
  const open = await tx
    .selectFrom('login_sessions')
    .select('id')
    .where('user_id', '=', userId)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', now)
    .$if(only !== undefined, query => query.where('id', '=', only ?? ''))
    .$if(except !== undefined, query => query.where('id', '<>', except ?? ''))
    .execute()
  const ids = open.map(({ id }) => id)
  if (ids.length > 0)
    await tx
      .updateTable('login_sessions')
      .set({ ended_at: now })
      .where('user_id', '=', userId)
      .where('id', 'in', ids)
      .execute()
  return ids
}

export function sessionStore({ kysely, prompt }: Pick<Database, 'kysely' | 'prompt'>, doStep: DoAccessStep) {
  return {
    /** The session of this token with the role of its user; undefined when it is none, or over. */
    async holder(token: string, times: SessionTimes, now: number): Promise<SessionHolder | undefined> {
      if (!mayBeToken(sessionTokenStart, token)) return undefined
      const hash = hashToken(token)
      const row = await prompt
        .selectFrom('login_sessions')
        .leftJoin('users', 'users.id', 'login_sessions.user_id')
        .selectAll('login_sessions')
        .select(['users.role', 'users.status', 'users.deleted_at'])
        .where('token_hash', '=', hash)
        .executeTakeFirst()
      if (row === undefined || row.ended_at !== null || !isSameHash(row.token_hash, hash)) return undefined
      const validUntil = Math.min(row.expires_at, row.last_seen_at + times.idle)
      if (validUntil <= now) return undefined
      return {
        session: fromRow(row),
        role: roleOf(row.role),
        isActive: row.deleted_at === null && row.status === 'active',
        validUntil,
      }
    },
    /** Notes that a session is in use, where that is worth a write. */
    async seen({ userId, id, lastSeenAt }: LoginSession, times: SessionTimes, now: number): Promise<void> {
      if (now - lastSeenAt < Math.min(seenEvery, times.idle / 10)) return
      await doStep({ kind: 'seen', userId, sessionId: id, at: now })
    },
    /** Whether this user has lately logged in from there. */
    async isKnownPlace(userId: string, place: string, now: number): Promise<boolean> {
      const row = await prompt
        .selectFrom('login_sessions')
        .select('id')
        .where('user_id', '=', userId)
        .where('place', '=', place)
        .where('created_at', '>', now - rememberedFor)
        .limit(1)
        .executeTakeFirst()
      return row !== undefined
    },
    /** Forgets sessions that are long over. */
    async forgetOld(now: number): Promise<void> {
      await kysely
        .deleteFrom('login_sessions')
        .where('expires_at', '<', now)
        .where('created_at', '<', now - rememberedFor)
        .execute()
    },
  }
}

function fromRow(row: Row<'login_sessions'>): LoginSession {
  return {
    id: row.id,
    userId: row.user_id,
    createdAt: row.created_at,
    lastSeenAt: row.last_seen_at,
    expiresAt: row.expires_at,
  }
}
