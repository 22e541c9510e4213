import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { columnText } from '../model/json-object.ts'
import { adminUser, anybody } from '../model/own-users.ts'
import type { Role } from '../model/permissions.ts'
import { type Actor, operator, type SecurityEvent, securityEvent } from '../store/audit-events.ts'
import { insertUser, type User } from '../store/users.ts'
import {
  type Attempt,
  countAttempt,
  countRegistration,
  forgetAttempt,
  forgetOldAttempts,
  nobody,
} from './attempts.ts'
import { checkPassword, isOutdated, passwordHasher } from './passwords.ts'
import { endSessions, insertSession, type LoginSession, type SessionTimes, sessionStore } from './sessions.ts'

export interface NewAccount {
  readonly userId: string
  readonly email?: string | undefined
  readonly username?: string | undefined
  readonly role?: Role | undefined
  /** Left out, somebody sets it later. One that somebody else has given is only good for choosing another. */
  readonly password?: string | undefined
}

export interface LoginInput {
  /** The id of a user, or an e-mail address; where several have it, the first of them. */
  readonly name: string
  readonly password: string
  /** To be the password from now on. */
  readonly newPassword?: string | undefined
  /** From `placeOf`. */
  readonly place: string
  readonly times: SessionTimes
}

export interface PasswordChange {
  readonly userId: string
  readonly current: string
  readonly next: string
  readonly place: string
  /** The session that goes on; all others of the user end. */
  readonly session?: string | undefined
}

type Candidate = Pick<Row<'users'>, 'id' | 'status' | 'deleted_at'> & {
  readonly hash: string | null
  readonly is_temporary: number | null
}

const longestEmail = 320
const longestName = 512

/** Accounts with passwords, logging in and out. Whatever changes leaves an audit event in the same transaction. */
export function loginLibrary(database: Database) {
  const { kysely, prompt } = database
  const hasher = passwordHasher()
  const sessions = sessionStore(database)

  const candidate = async (name: string): Promise<Candidate | undefined> => {
    const found = await prompt
      .selectFrom('users')
      .leftJoin('user_passwords', 'user_passwords.user_id', 'users.id')
      .select(['users.id', 'users.status', 'users.deleted_at', 'hash', 'is_temporary'])
      .where(where => where.or([where('users.id', '=', name), where('users.email', '=', name)]))
      .orderBy('users.created_at')
      .orderBy('users.id')
      .limit(10)
      .execute()
    // Whoever gives themselves another's address must not be in that other's way: the account that was first has it.
    return found.find(({ id }) => id === name) ?? found.find(({ hash }) => hash !== null) ?? found[0]
  }

  /** Checks a password as often as that may be tried. @throws SteleError login_failed, too_many_attempts, login_busy */
  const proven = async (name: string, password: string, place: string) => {
    const now = Date.now()
    const known = await candidate(name)
    // Asked of a user that there is not too, so that it takes as long.
    const isKnownPlace = await sessions.isKnownPlace(known?.id ?? '', place, now)
    const attempt: Attempt = { userId: known?.id, name, place, isKnownPlace }
    await countAttempt(database, attempt, now)
    const isRight = await hasher.verify(known?.hash ?? undefined, password)
    const { hash } = known ?? {}
    const isActive = known?.status === 'active' && known.deleted_at === null
    if (known === undefined || hash == null || !isRight || !isActive) {
      const event = {
        userId: known?.id ?? '',
        by: nobody,
        action: 'login.failed',
        severity: 'warning',
      } as const
      await note(prompt, { ...event, outcome: 'failure' })
      throw new SteleError('login_failed')
    }
    return { user: known, hash, attempt }
  }

  const setPassword = async (tx: Kysely<Tables>, userId: string, hash: string, by: Actor): Promise<void> => {
    const now = Date.now()
    const values = { hash, is_temporary: by.userId === userId ? 0 : 1, changed_at: now }
    await tx
      .insertInto('user_passwords')
      .values({ user_id: userId, ...values })
      .onConflict(conflict => conflict.column('user_id').doUpdateSet(values))
      .execute()
    await note(tx, { userId, by, action: 'password.changed', target: userId, severity: 'warning' })
  }

  /** Makes a user who can log in. @throws SteleError already_exists, invalid_value, login_busy */
  const createAccount = async (account: NewAccount, by: Actor = operator): Promise<User> => {
    const { userId, email, username, role = 'member', password } = account
    const fields = {
      role,
      ...(email === undefined ? {} : { email: columnText('email', email, { least: 3, most: longestEmail }) }),
      ...(username === undefined
        ? {}
        : { username: columnText('username', username, { least: 1, most: longestName }) }),
    }
    const hash = password === undefined ? undefined : await hasher.hash(checkPassword(password, userId))
    return kysely.transaction().execute(async tx => {
      const user = await insertUser(tx, userId, fields, by)
      if (hash !== undefined) await setPassword(tx, userId, hash, by)
      return user
    })
  }

  return {
    sessions,
    createAccount,
    /**
     * The same for somebody who makes an account for themselves, as often as that may be.
     * @throws SteleError already_exists, invalid_value, too_many_attempts, login_busy
     */
    async register(account: NewAccount & { readonly password: string }, place: string): Promise<User> {
      checkRegistered(account.userId)
      await countRegistration(database, place, Date.now())
      return createAccount(account, { userId: account.userId })
    },
    /**
     * Begins a session.
     * @throws SteleError login_failed, too_many_attempts, password_change_required, invalid_value, login_busy
     */
    async logIn({
      name,
      password,
      newPassword,
      place,
      times,
    }: LoginInput): Promise<LoginSession & { token: string }> {
      const { user, hash, attempt } = await proven(name, password, place)
      const by: Actor = { userId: user.id }
      if (user.is_temporary === 1 && newPassword === undefined) {
        await prompt.transaction().execute(async tx => {
          await forgetAttempt(tx, attempt)
          const details = { reason: 'the password is temporary' }
          await note(tx, { userId: user.id, by, action: 'login.refused', outcome: 'denied', details })
        })
        throw new SteleError('password_change_required', {}, { param: 'new_password' })
      }
      if (newPassword !== undefined) checkNext(newPassword, password, user.id)
      const renewed = newPassword ?? (isOutdated(hash) ? password : undefined)
      const newHash = renewed === undefined ? undefined : await hasher.hash(renewed)
      return prompt.transaction().execute(async tx => {
        const now = Date.now()
        await forgetAttempt(tx, attempt)
        if (newHash !== undefined) await setPassword(tx, user.id, newHash, by)
        if (newPassword !== undefined) await endSessions(tx, user.id, { now })
        const session = await insertSession(tx, { userId: user.id, place, times, now })
        await note(tx, { userId: user.id, by, action: 'login.succeeded', target: session.id })
        return session
      })
    },
    /** Ends one session of a user, or all. Returns how many that were. */
    logOut(userId: string, only: string | undefined): Promise<number> {
      return prompt.transaction().execute(async tx => {
        const ended = await endSessions(tx, userId, { only, now: Date.now() })
        for (const target of ended) await note(tx, { userId, by: { userId }, action: 'login.ended', target })
        return ended.length
      })
    },
    /** @throws SteleError login_failed, too_many_attempts, invalid_value, login_busy */
    async changePassword({ userId, current, next, place, session }: PasswordChange): Promise<void> {
      const { user, attempt } = await proven(userId, current, place)
      checkNext(next, current, user.id)
      const hash = await hasher.hash(next)
      await prompt.transaction().execute(async tx => {
        await forgetAttempt(tx, attempt)
        await setPassword(tx, user.id, hash, { userId: user.id })
        await endSessions(tx, user.id, { except: session, now: Date.now() })
      })
    },
    /**
     * Gives a user a password without knowing the one before; it is only good for choosing another. Ends the user's sessions.
     * @throws SteleError user_not_found, invalid_value, login_busy
     */
    async resetPassword(userId: string, password: string, by: Actor = operator): Promise<void> {
      const hash = await hasher.hash(checkPassword(password, userId))
      await kysely.transaction().execute(async tx => {
        const user = await tx.selectFrom('users').select('id').where('id', '=', userId).executeTakeFirst()
        if (user === undefined) throw new SteleError('user_not_found', { user: userId })
        await setPassword(tx, userId, hash, by)
        await endSessions(tx, userId, { now: Date.now() })
      })
    },
    /** Forgets failures and sessions that count no longer. */
    async forgetOld(now: number): Promise<void> {
      await forgetOldAttempts(database, now)
      await sessions.forgetOld(now)
    },
  }
}

const ownUsers: readonly string[] = [adminUser, anybody]

/**
 * What nobody may call themselves: as Stele calls its own, or by an address, which is another's name at a login.
 * @throws SteleError already_exists, invalid_value
 */
function checkRegistered(userId: string): void {
  if (ownUsers.includes(userId)) throw new SteleError('already_exists', { what: `The user '${userId}'` })
  if (!userId.includes('@')) return
  const reason = 'no e-mail address: that goes into email'
  throw new SteleError('invalid_value', { name: 'user', reason }, { param: 'user' })
}

/** @throws SteleError invalid_value */
function checkNext(next: string, current: string, userId: string): void {
  const param = 'new_password'
  checkPassword(next, userId, param)
  if (next === current)
    throw new SteleError('invalid_value', { name: param, reason: 'it is the old one' }, { param })
}

async function note(tx: Kysely<Tables>, event: SecurityEvent): Promise<void> {
  await tx.insertInto('audit_events').values(securityEvent(event, Date.now())).execute()
}
