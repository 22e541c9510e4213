import { hash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { type Actor, addEvents, eventRow } from '../store/audit-events.ts'
import type { Contents, Store } from '../store/contents.ts'

/**
 * Delays for whoever guesses passwords, shared by all gateways on a database. An attempt is counted before it is tried, so
 * many at once are no way around; one that succeeds is taken back.
 */

interface Delays {
  /** Failures that cost nothing. */
  readonly free: number
  /** The longest delay in milliseconds. The first is a second, each further one twice as long. */
  readonly longest: number
}

/** Short at most: a stranger who guesses must not keep anybody out for long. */
const ofAccount: Delays = { free: 5, longest: 60_000 }

/** Many people may share an address. */
const ofPlace: Delays = { free: 20, longest: 300_000 }

/** Milliseconds after which failures are forgotten. */
const rememberedFor = 3_600_000

/** What an attempt is counted under. */
export interface Attempt {
  /** The user that is tried; undefined when there is none of the name given. */
  readonly userId: string | undefined
  /** What was given as the user. */
  readonly name: string
  /** From `placeOf`. */
  readonly place: string
  /** Whether this user has logged in from there before: whoever guesses from elsewhere is not in the way then. */
  readonly isKnownPlace: boolean
}

/** Milliseconds to wait after so many failures. */
export function delayAfter(failures: number, { free, longest }: Delays): number {
  return failures <= free ? 0 : Math.min(longest, 1_000 * 2 ** Math.min(30, failures - free - 1))
}

type Subject = readonly [name: string, delays: Delays]

type Counting = Pick<Store, 'prompt' | 'forUpdate' | 'contents'>

/**
 * Counts an attempt before it is tried. @throws SteleError too_many_attempts, when it must not be tried yet
 */
export function countAttempt(database: Counting, attempt: Attempt, now: number): Promise<void> {
  return countAll(database, subjectsOf(attempt), attempt.userId ?? '', now)
}

/** Counts an account that somebody makes for themselves. @throws SteleError too_many_attempts */
export function countRegistration(database: Counting, place: string, now: number): Promise<void> {
  return countAll(database, [[`register:${place}`, ofPlace]], '', now)
}

async function countAll(
  { prompt, forUpdate, contents }: Counting,
  subjects: readonly Subject[],
  userId: string,
  now: number,
): Promise<void> {
  const wait = await prompt.transaction().execute(async tx => {
    for (const [subject] of subjects)
      await tx
        .insertInto('login_attempts')
        .values({ subject, failures: 0, last_at: now, blocked_until: 0 })
        .onConflict(conflict => conflict.column('subject').doNothing())
        .execute()
    const rows: (readonly [Row<'login_attempts'>, Delays])[] = []
    // Always in the same order, so that two attempts cannot wait for each other.
    for (const [subject, delays] of subjects) {
      const found = tx.selectFrom('login_attempts').selectAll().where('subject', '=', subject)
      rows.push([await found.modifyEnd(forUpdate).executeTakeFirstOrThrow(), delays])
    }
    const blockedUntil = Math.max(...rows.map(([row]) => row.blocked_until))
    if (blockedUntil > now) return blockedUntil - now
    for (const [row, delays] of rows) await count(tx, contents, row, delays, userId, now)
    return 0
  })
  if (wait > 0) throw new SteleError('too_many_attempts', { seconds: Math.ceil(wait / 1_000) })
}

async function count(
  tx: Kysely<Tables>,
  contents: Contents,
  { subject, failures: before, last_at }: Row<'login_attempts'>,
  delays: Delays,
  userId: string,
  now: number,
): Promise<void> {
  const failures = (last_at < now - rememberedFor ? 0 : before) + 1
  const delay = delayAfter(failures, delays)
  await tx
    .updateTable('login_attempts')
    .set({ failures, last_at: now, blocked_until: delay === 0 ? 0 : now + delay })
    .where('subject', '=', subject)
    .execute()
  if (delay === 0) return
  const details = { of: subject.split(':', 1)[0], failures, seconds: delay / 1_000 }
  const event = {
    userId,
    by: nobody,
    action: 'login.delayed',
    outcome: 'denied',
    details,
  } as const
  await addEvents(tx, contents, eventRow(event, now))
}

/**
 * The same of an attempt as far as a look tells: those that are too early are many when somebody guesses, and need not wait
 * for whoever writes. @throws SteleError too_many_attempts
 */
export async function checkAttempt(
  { prompt }: Pick<Database, 'prompt'>,
  attempt: Attempt,
  now: number,
): Promise<void> {
  const subjects = subjectsOf(attempt).map(([subject]) => subject)
  const rows = await prompt
    .selectFrom('login_attempts')
    .select('blocked_until')
    .where('subject', 'in', subjects)
    .execute()
  const wait = Math.max(0, ...rows.map(row => row.blocked_until - now))
  if (wait > 0) throw new SteleError('too_many_attempts', { seconds: Math.ceil(wait / 1_000) })
}

/** Takes an attempt back that was right: those before it on the account are forgotten, those from elsewhere are not. */
export async function forgetAttempt(tx: Kysely<Tables>, attempt: Attempt): Promise<void> {
  for (const [subject, delays] of subjectsOf(attempt))
    if (delays === ofAccount) await tx.deleteFrom('login_attempts').where('subject', '=', subject).execute()
    else
      await tx
        .updateTable('login_attempts')
        .set(row => ({ failures: row('failures', '-', 1), blocked_until: 0 }))
        .where('subject', '=', subject)
        .where('failures', '>', 0)
        .execute()
}

/** Forgets failures that count no longer. */
export async function forgetOldAttempts({ kysely }: Pick<Database, 'kysely'>, now: number): Promise<void> {
  await kysely
    .deleteFrom('login_attempts')
    .where('last_at', '<', now - rememberedFor)
    .execute()
}

/**
 * Where a request comes from, as far as it is kept: one of 65,536 groups of addresses. Of IPv6 only the network counts,
 * within which anybody has any number of addresses.
 */
export function placeOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '')
  return groupOf(isIPv6(plain) ? networkOf(plain) : plain)
}

/** Whoever is not logged in. */
export const nobody: Actor = { userId: '' }

function subjectsOf({ userId, name, place, isKnownPlace }: Attempt): Subject[] {
  // Names that there are not share groups: whoever makes names up must not fill the table.
  const account = userId === undefined ? `name:${groupOf(name)}` : `user:${userId}`
  const subject = isKnownPlace ? `known:${place}:${userId}` : account
  return [
    [`address:${place}`, ofPlace],
    [subject, ofAccount],
  ]
}

function groupOf(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 4)
}

/** The first 64 bits, written out. */
function networkOf(address: string): string {
  const [head = '', tail] = (address.split('%', 1)[0] ?? '').split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const given = [...groups(head), ...groups(tail ?? '')].length
  const all = [
    ...groups(head),
    ...(tail === undefined ? [] : Array.from({ length: 8 - given }, () => '0')),
    ...groups(tail ?? ''),
  ]
  return all
    .slice(0, 4)
    .map(group => Number.parseInt(group, 16))
    .join(':')
}
