import { type Kysely, sql } from 'kysely'
import { expect, test } from 'vitest'
import { verifyLog } from '../../src/audit/verify/store.ts'
import type { Tables } from '../../src/db/tables.ts'
import type { RetentionDefaults } from '../../src/retention/periods.ts'
import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'
import { leafOf } from '../../src/store/audit-queue.ts'
import { assistant, begin, chatBody, completed, completionBody, settle, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { dropGuards } from '../harness/guards.ts'
import { rowsOf } from '../harness/rows.ts'

const day = 86_400_000
const now = Date.now()
const gone = 'the content is gone and no event of the log tells why'

/** A call that was made and answered so many days ago. */
async function call(
  stele: Stele,
  messages: readonly unknown[],
  days = 0,
  more: Record<string, unknown> = {},
) {
  const createdAt = now - days * day
  const begun = await begin(stele, chatBody(messages), { createdAt, ...more })
  const { conversationId } = await settle(stele, begun, completed(completionBody('answer'), { createdAt }))
  return { callId: begun.callId, conversationId }
}

/** What a verification says when this has been done, which is undone afterwards. */
async function verdictAfter({ database }: Stele, change: (db: Kysely<Tables>) => Promise<unknown>) {
  let fault: string | undefined
  const undone = new Error('undone')
  const work = database.kysely.transaction().execute(async tx => {
    await change(tx)
    const seen = {
      ...database,
      kysely: tx,
      snapshot: <R>(read: (db: Kysely<Tables>) => Promise<R>) => read(tx),
    }
    const verdict = await verifyLog(seen, { contents: true })
    fault = verdict.fault?.reason
    if (verdict.fault !== undefined) expect(verdict.fault.eventId ?? verdict.fault.index).toBeDefined()
    throw undone
  })
  await expect(work).rejects.toThrow(undone)
  return fault
}

const absent = Buffer.of(3)

const blankRequest = (callId: string) => (db: Kysely<Tables>) =>
  sql`UPDATE llm_requests SET params = NULL, body = ${absent}, messages_at = NULL, separator = NULL WHERE id = ${callId}`.execute(
    db,
  )
const blankReply = (callId: string) => (db: Kysely<Tables>) =>
  sql`UPDATE llm_responses SET body = ${absent}, content_at = NULL WHERE request_id = ${callId}`.execute(db)
const removeCall = (callId: string) => async (db: Kysely<Tables>) => {
  await sql`DELETE FROM llm_responses WHERE request_id = ${callId}`.execute(db)
  await sql`DELETE FROM llm_requests WHERE id = ${callId}`.execute(db)
}
const blankMessages = (conversationId: string) => (db: Kysely<Tables>) =>
  sql`UPDATE messages SET content = ${absent}, echo = NULL, echo_from = NULL WHERE conversation_id = ${conversationId}`.execute(
    db,
  )
const removeMessages = (conversationId: string) => (db: Kysely<Tables>) =>
  sql`DELETE FROM messages WHERE conversation_id = ${conversationId}`.execute(db)

async function opened(bed: Bed, retention: RetentionDefaults = {}): Promise<Stele> {
  // Nothing is taken into the log but when a test says so.
  const stele = await (await bed.place()).stele({ retention, audit: { sequence: false } })
  await dropGuards(stele.database)
  return stele
}

/** Whatever is taken from a call that nothing explains is named; a call that was removed, or blanked in any way. */
async function expectNamed(stele: Stele, { callId, conversationId }: Awaited<ReturnType<typeof call>>) {
  expect(await verdictAfter(stele, blankRequest(callId))).toBe(gone)
  expect(await verdictAfter(stele, blankReply(callId))).toBe(gone)
  expect(await verdictAfter(stele, removeCall(callId))).toBe(gone)
  expect(await verdictAfter(stele, blankMessages(conversationId))).toBe(gone)
  expect(await verdictAfter(stele, removeMessages(conversationId))).toBeDefined()
}

async function expectGone(stele: Stele, count: number): Promise<void> {
  const verdict = await stele.audit.verify({ contents: true })
  expect(verdict.fault).toBeUndefined()
  expect(verdict.contents?.gone).toBe(count)
}

export function goneContentsSuite(bed: Bed): void {
  test('content that somebody has blanked or removed is named', async () => {
    const stele = await opened(bed)
    const first = await call(stele, [user('one')])
    await stele.auditLogger.logEvent({ eventType: 'seen', userId: 'ada', details: { what: 'her words' } })
    await stele.auditLog.sequence()
    await expectGone(stele, 0)
    await expectNamed(stele, first)
    expect(await verdictAfter(stele, db => sql`DELETE FROM audit_details`.execute(db))).toBe(gone)
    const withoutKeys = sql`UPDATE data_keys SET wrapped_key = NULL, destroyed_at = 1`
    expect(await verdictAfter(stele, db => withoutKeys.execute(db))).toBe(gone)
    await expectGone(stele, 0)
  })

  test('what the retention lets go is explained by its run, as far as the periods of the user go', async () => {
    const stele = await opened(bed, { contentDays: 30, metadataDays: 90 })
    await stele.retention.set('bob', { contentDays: 3_650, metadataDays: 3_650 })
    const bobs = await call(stele, [user('bob')], 100, { userId: 'bob' })
    await call(stele, [user('long ago')], 100)
    const said = [user('old')]
    await call(stele, said, 40)
    const young = await call(stele, [user('young')], 20)
    // Goes on from messages that expire.
    await call(stele, [...said, assistant('answer'), user('again')], 10)
    await stele.auditLog.sequence()
    await expectGone(stele, 0)
    await stele.retention.run({ now })
    // Nothing of the run is in the log yet.
    await expectGone(stele, 5)
    await stele.auditLog.sequence()
    await expectGone(stele, 5)
    await expectNamed(stele, young)
    await expectNamed(stele, bobs)
    // With a policy that nobody has set the run would have taken them.
    await stele.database.kysely.updateTable('retention_policies').set({ content_days: 1 }).execute()
    await stele.retention.run({ now })
    await stele.auditLog.sequence()
    expect((await stele.audit.verify({ contents: true })).fault?.reason).toBe(gone)
  })

  test('periods of a user that were set before a kept checkpoint explain what goes after it', async () => {
    const stele = await opened(bed)
    await stele.retention.set('ada', { contentDays: 30 })
    await stele.auditLog.sequence()
    const { checkpoint = '' } = await stele.audit.verify()
    await call(stele, [user('old')], 40)
    const young = await call(stele, [user('young')], 20)
    await stele.retention.run({ now })
    await stele.auditLog.sequence()
    const verify = () => stele.audit.verify({ contents: true, incremental: true, checkpoints: [checkpoint] })
    expect(await verify()).toMatchObject({ verified: true, contents: { gone: 2 } })
    await blankRequest(young.callId)(stele.database.kysely)
    expect((await verify()).fault?.reason).toBe(gone)
    // What is believed is not looked at, but for what is read in it: a policy written anew is not that of the tree.
    const { kysely, contents } = stele.database
    const [set] = (await rowsOf(stele, 'audit_events')).filter(({ action }) => action === 'retention.set')
    if (set === undefined) throw new Error('there is no such event')
    const forged = { ...set, details: JSON.stringify({ content_days: 1 }) }
    const { salt, commitment } = leafOf(forged)
    const { details } = contents.sealEvent(forged)
    await kysely.updateTable('audit_events').set({ details }).where('id', '=', set.id).execute()
    await kysely.updateTable('audit_log').set({ salt, commitment }).where('event_id', '=', set.id).execute()
    const { fault } = await verify()
    expect(fault?.reason).toBe(gone)
  })

  test('what goes with a conversation is explained by the event that names its calls', async () => {
    const stele = await opened(bed, { deletedDays: 7 })
    const purged = await call(stele, [user('purged')], 20)
    const expired = await call(stele, [user('deleted')], 20)
    const other = await call(stele, [user('other')], 20)
    await stele.conversations.purge('ada', purged.conversationId)
    await stele.conversations.delete('ada', expired.conversationId)
    await stele.retention.run({ now: Date.now() + 8 * day })
    await stele.auditLog.sequence()
    await expectGone(stele, 4)
    const acts = await stele.auditEvents.list({ action: 'conversation.purged' })
    expect(acts.map(({ actor, target, details }) => [actor, target, details])).toEqual([
      ['retention', expired.conversationId, { calls: [expired.callId] }],
      ['library', purged.conversationId, { calls: [purged.callId] }],
    ])
    await expectNamed(stele, other)
    for (const { conversationId } of [purged, expired])
      expect(
        await verdictAfter(stele, async db => {
          await db
            .updateTable('llm_requests')
            .set({ conversation_id: conversationId })
            .where('id', '=', other.callId)
            .execute()
          await db
            .updateTable('llm_responses')
            .set({ conversation_id: conversationId })
            .where('request_id', '=', other.callId)
            .execute()
          await blankRequest(other.callId)(db)
        }),
      ).toBe(gone)
    expect(await verdictAfter(stele, removeCall(purged.callId))).toBe(gone)
  })

  test('what was erased is explained by the erasure; what the user said after it is not', async () => {
    const stele = await opened(bed)
    await call(stele, [user('before')])
    const silent = await begin(stele, chatBody([user('left')]))
    await settle(stele, silent, { status: 'aborted', errorCode: 'client_left' })
    await call(stele, [user('of another')], 0, { userId: 'bob' })
    await stele.auditLogger.logEvent({ eventType: 'seen', userId: 'ada', details: { what: 'her words' } })
    await stele.erase('ada')
    await stele.auditLogger.logEvent({ eventType: 'seen', userId: 'ada', details: { what: 'after it' } })
    await stele.auditLog.sequence()
    await expectGone(stele, 6)
    const back = await call(stele, [user('back')])
    await stele.auditLogger.logEvent({ eventType: 'seen', userId: 'ada', details: { what: 'once more' } })
    await stele.auditLog.sequence()
    await expectGone(stele, 6)
    await expectNamed(stele, back)
    expect(await verdictAfter(stele, db => sql`DELETE FROM audit_details`.execute(db))).toBe(gone)
    expect(await verdictAfter(stele, removeCall(silent.callId))).toBe(gone)
  })

  test('of whoever has content kept as digests alone it was never there', async () => {
    const stele = await opened(bed)
    await stele.users.create('ada')
    await stele.users.update('ada', { contentMode: 'hashed' })
    const { callId } = await call(stele, [user('hello')])
    await stele.auditLogger.logEvent({ eventType: 'seen', userId: 'ada', details: { what: 'her words' } })
    await stele.auditLog.sequence()
    await expectGone(stele, 3)
    expect(await verdictAfter(stele, blankRequest(callId))).toBe(gone)
  })

  test('acts that a version before told in fewer words explain what came before them', async () => {
    const stele = await opened(bed)
    const purged = await call(stele, [user('purged')], 20)
    const old = await call(stele, [user('old')], 20)
    const note = (
      action: 'conversation.purged' | 'retention.begun',
      target?: string,
      details?: { now: number },
    ) =>
      stele.auditEvents.add({
        userId: target === undefined ? '-' : 'ada',
        by: operator,
        action,
        target,
        details,
      })
    await blankRequest(purged.callId)(stele.database.kysely)
    await blankRequest(old.callId)(stele.database.kysely)
    expect((await stele.audit.verify({ contents: true })).fault).toBeUndefined()
    await stele.auditLog.sequence()
    expect((await stele.audit.verify({ contents: true })).fault?.reason).toBe(gone)
    await note('conversation.purged', purged.conversationId)
    await stele.auditLog.sequence()
    expect((await stele.audit.verify({ contents: true })).fault?.index).toBe(2)
    await note('retention.begun', undefined, { now })
    await stele.auditLog.sequence()
    await expectGone(stele, 2)
    const young = await call(stele, [user('young')])
    await stele.auditLog.sequence()
    await expectNamed(stele, young)
  })
}
