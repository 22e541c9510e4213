import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { addAbsentEvents, type EventRow, eventRow } from '../store/audit-events.ts'
import type { Store } from '../store/contents.ts'
import { countAttempt, countRegistration, forgetAttempt } from './attempts.ts'
import { endSessions } from './sessions.ts'
import type { AccessStep, AccessStepResult, NewPassword, Proof } from './steps.ts'

/** Does what a login writes. @throws SteleError too_many_attempts, login_failed */
export async function doAccessStep(database: Store, step: AccessStep): Promise<AccessStepResult> {
  if (step.kind === 'count') await countAttempt(database, step.attempt, step.at)
  else if (step.kind === 'count-registration') await countRegistration(database, step.place, step.at)
  else return database.prompt.transaction().execute(async tx => ({ ended: await work(tx, database, step) }))
  return { ended: 0 }
}

type Counting = 'count' | 'count-registration'

/** Returns how many sessions have ended. */
async function work(
  tx: Kysely<Tables>,
  database: Store,
  step: Exclude<AccessStep, { kind: Counting }>,
): Promise<number> {
  switch (step.kind) {
    case 'refuse':
      if (step.proof !== undefined) await forgetAttempt(tx, step.proof.attempt)
      await noteAll(tx, database, [step.event])
      return 0
    case 'log-in': {
      const { proof, password, session, events, at } = step
      await checkStillProven(tx, database, proof)
      await forgetAttempt(tx, proof.attempt)
      if (password !== undefined) await putPassword(tx, password, at)
      const ended = step.endsOthers
        ? await endSessions(tx, proof.userId, { except: session.id, now: at })
        : []
      await tx
        .insertInto('login_sessions')
        .values(session)
        .onConflict(conflict => conflict.doNothing())
        .execute()
      await noteAll(tx, database, events)
      return ended.length
    }
    case 'change-password': {
      const { proof, password, session, event, at } = step
      await checkStillProven(tx, database, proof)
      await forgetAttempt(tx, proof.attempt)
      await putPassword(tx, password, at)
      await noteAll(tx, database, [event])
      return (await endSessions(tx, proof.userId, { except: session, now: at })).length
    }
    case 'log-out': {
      const { userId, only, at } = step
      const ended = await endSessions(tx, userId, { only, now: at })
      const events = ended.map(target =>
        eventRow({ userId, by: { userId }, action: 'login.ended', target }, at),
      )
      await noteAll(tx, database, events)
      return ended.length
    }
    case 'seen':
      await tx
        .updateTable('login_sessions')
        .set({ last_seen_at: step.at })
        .where('user_id', '=', step.userId)
        .where('id', '=', step.sessionId)
        .execute()
      return 0
  }
}

/**
 * A password is compared outside of any transaction: meanwhile it may have been changed, because somebody else knew it, or
 * its user suspended. @throws SteleError login_failed
 */
async function checkStillProven(
  tx: Kysely<Tables>,
  { forUpdate }: Store,
  { userId, hash }: Proof,
): Promise<void> {
  const password = tx.selectFrom('user_passwords').select('hash').where('user_id', '=', userId)
  const kept = await password.modifyEnd(forUpdate).executeTakeFirst()
  const standing = tx.selectFrom('users').select(['status', 'deleted_at']).where('id', '=', userId)
  const user = await standing.executeTakeFirst()
  if (kept?.hash !== hash || user?.status !== 'active' || user.deleted_at !== null)
    throw new SteleError('login_failed')
}

export async function putPassword(
  tx: Kysely<Tables>,
  { userId, hash, isTemporary }: NewPassword,
  at: number,
): Promise<void> {
  const values = { hash, is_temporary: isTemporary ? 1 : 0, changed_at: at }
  await tx
    .insertInto('user_passwords')
    .values({ user_id: userId, ...values })
    .onConflict(conflict => conflict.column('user_id').doUpdateSet(values))
    .execute()
}

async function noteAll(tx: Kysely<Tables>, { contents }: Store, events: readonly EventRow[]): Promise<void> {
  await addAbsentEvents(tx, contents, events)
}
