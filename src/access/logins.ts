import type { Kysely } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { columnText } from '../model/json-object.ts'
import { adminUser, anybody } from '../model/own-users.ts'
import type { Role } from '../model/permissions.ts'
import {
  type Actor,
  addEvents,
  type EventRow,
  eventRow,
  type NewEvent,
  operator,
} from '../store/audit-events.ts'
import type { Store } from '../store/contents.ts'
import { insertUser, type User } from '../store/users.ts'
import { type Attempt, checkAttempt, forgetOldAttempts, nobody } from './attempts.ts'
import { putPassword } from './do-step.ts'
import { checkPassword, isOutdated, passwordHasher } from './passwords.ts'
import { endSessions, type LoginSession, newSession, type SessionTimes, sessionStore } from './sessions.ts'
import type { DoAccessStep, Proof } from './steps.ts'

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

interface Proven {
  readonly proof: Proof
  readonly isTemporary: boolean
}

const longestEmail = 320
const longestName = 512

/** Accounts with passwords, logging in and out. Whatever changes leaves an audit event in the same transaction. */
export function loginLibrary(database: Store, doStep: DoAccessStep) {
  const { kysely, prompt, contents } = database
  const hasher = passwordHasher()
  const sessions = sessionStore(database, doStep)

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
  const proven = async (name: string, password: string, place: string): Promise<Proven> => {
    const now = Date.now()
    const known = await candidate(name)
    // Asked of a user that there is not too, so that it takes as long.
    const isKnownPlace = await sessions.isKnownPlace(known?.id ?? '', place, now)
    const attempt: Attempt = { userId: known?.id, name, place, isKnownPlace }
    await checkAttempt(database, attempt, now)
    const isRight = await hasher.withPlace(async () => {
      await doStep({ kind: 'count', attempt, at: now })
      return hasher.verify(known?.hash ?? undefined, password)
    })
    const { hash } = known ?? {}
    const isActive = known?.status === 'active' && known.deleted_at === null
    if (known === undefined || hash == null || !isRight || !isActive) {
      const about = { userId: known?.id ?? '', by: nobody, action: 'login.failed' } as const
      const event = eventNow({ ...about, outcome: 'failure' })
      await doStep({ kind: 'refuse', event })
      throw new SteleError('login_failed')
    }
    return { isTemporary: known.is_temporary === 1, proof: { userId: known.id, hash, attempt } }
  }

  const setPassword = async (tx: Kysely<Tables>, userId: string, hash: string, by: Actor): Promise<void> => {
    await putPassword(tx, { userId, hash, isTemporary: by.userId !== userId }, Date.now())
    await addEvents(tx, contents, passwordEvent(userId, by))
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
      const user = await insertUser(tx, contents, userId, fields, by)
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
      await doStep({ kind: 'count-registration', place, at: Date.now() })
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
      const { proof, isTemporary } = await proven(name, password, place)
      const { userId } = proof
      const by: Actor = { userId }
      if (isTemporary && newPassword === undefined) {
        const details = { reason: 'the password is temporary' }
        const event = eventNow({ userId, by, action: 'login.refused', outcome: 'denied', details })
        await doStep({ kind: 'refuse', proof, event })
        throw new SteleError('password_change_required', {}, { param: 'new_password' })
      }
      if (newPassword !== undefined) checkNext(newPassword, password, userId)
      const renewed = newPassword ?? (isOutdated(proof.hash) ? password : undefined)
      const hash = renewed === undefined ? undefined : await hasher.hash(renewed)
      const now = Date.now()
      const { row, session } = newSession({ userId, place, times, now })
      await doStep({
        kind: 'log-in',
        proof,
        password: hash === undefined ? undefined : { userId, hash, isTemporary: false },
        endsOthers: newPassword !== undefined,
        session: row,
        events: [
          ...(hash === undefined ? [] : [passwordEvent(userId, by)]),
          eventNow({ userId, by, action: 'login.succeeded', target: session.id }),
        ],
        at: now,
      })
      return session
    },
    /** Ends one session of a user, or all. Returns how many that were. */
    async logOut(userId: string, only: string | undefined): Promise<number> {
      return (await doStep({ kind: 'log-out', userId, only, at: Date.now() })).ended
    },
    /** @throws SteleError login_failed, too_many_attempts, invalid_value, login_busy */
    async changePassword({ userId, current, next, place, session }: PasswordChange): Promise<void> {
      const { proof } = await proven(userId, current, place)
      checkNext(next, current, userId)
      const password = { userId, hash: await hasher.hash(next), isTemporary: false }
      const event = passwordEvent(userId, { userId })
      await doStep({ kind: 'change-password', proof, password, session, event, at: Date.now() })
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

function passwordEvent(userId: string, by: Actor): EventRow {
  return eventNow({ userId, by, action: 'password.changed', target: userId })
}

function eventNow(event: NewEvent): EventRow {
  return eventRow(event, Date.now())
}
