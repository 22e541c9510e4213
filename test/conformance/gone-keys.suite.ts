import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { rotateDataKey } from '../../src/moving/rotate-data-key.ts'
import { form } from '../../src/privacy/forms.ts'
import type { Stele } from '../../src/stele.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  settle,
  user,
} from '../harness/chat.ts'
import type { Bed, Place } from '../harness/databases.ts'
import { dropGuards } from '../harness/guards.ts'
import { rowsOf } from '../harness/rows.ts'

const day = 86_400_000
const now = Date.now()
const gone = 'the content is gone and no event of the log tells why'
const options = { retention: { contentDays: 30 }, audit: { sequence: false } }

async function opened(place: Place): Promise<Stele> {
  const stele = await place.stele(options)
  await dropGuards(stele.database)
  return stele
}

async function verdict(stele: Stele) {
  await stele.auditLog.sequence()
  return stele.audit.verify({ contents: true })
}

async function expectGone(stele: Stele): Promise<void> {
  const { fault } = await verdict(stele)
  expect(fault).toMatchObject({ reason: gone, index: expect.any(Number), eventId: expect.any(String) })
}

const say = (stele: Stele) =>
  stele.auditLogger.logEvent({ eventType: 'seen', userId: 'ada', details: { what: 'her words' } })

/** A value in this form of a key that is said to have been destroyed. */
async function forgedValue({ database }: Stele, first: number): Promise<Buffer> {
  const [key] = await database.kysely
    .selectFrom('data_keys')
    .selectAll()
    .where('user_id', '=', 'ada')
    .execute()
  if (key === undefined) throw new Error('there is no key')
  const commitment = randomBytes(key.id.length / 2)
  const destroyed = { id: commitment.toString('hex'), wrapped_key: null, retired_at: 1, destroyed_at: 1 }
  await database.kysely
    .insertInto('data_keys')
    .values({ ...key, ...destroyed })
    .execute()
  return Buffer.concat([Buffer.of(first), commitment, randomBytes(64)])
}

export function goneKeysSuite(bed: Bed): void {
  test('what nobody can open because a key is gone is named, unless its user was erased', async () => {
    const place = await bed.place()
    const stele = await opened(place)
    await exchange(stele, [user('question')], 'answer')
    expect((await verdict(stele)).fault).toBeUndefined()
    await stele.close()
    const again = await place.stele(options)
    await sql`UPDATE data_keys SET wrapped_key = NULL, destroyed_at = 5`.execute(again.database.kysely)
    await expectGone(again)
    await again.erase('ada')
    expect(await verdict(again)).toMatchObject({ verified: true, contents: { same: 0, gone: 2 } })
  })

  test.each(['llm_requests', 'llm_responses', 'audit_details'] as const)(
    'a digest in %s that no key of the user has written explains nothing',
    async table => {
      const stele = await opened(await bed.place())
      await exchange(stele, [user('question')], 'answer')
      await say(stele)
      expect((await verdict(stele)).fault).toBeUndefined()
      const digest = await forgedValue(stele, form.digest)
      const { kysely } = stele.database
      if (table === 'audit_details') await sql`UPDATE audit_details SET content = ${digest}`.execute(kysely)
      else await sql`UPDATE ${sql.table(table)} SET body = ${digest}`.execute(kysely)
      await expectGone(stele)
    },
  )

  test('digests that a key of the user wrote explain themselves, also when that key was rotated', async () => {
    const place = await bed.place()
    const stele = await opened(place)
    await stele.users.create('ada')
    await stele.users.update('ada', { contentMode: 'hashed' })
    await exchange(stele, [user('question')], 'answer')
    await say(stele)
    expect(await verdict(stele)).toMatchObject({ verified: true, contents: { same: 0, gone: 3 } })
    await rotateDataKey(stele, 'ada', {})
    // Nothing of the rotation is in the log yet.
    expect((await stele.audit.verify({ contents: true })).fault).toBeUndefined()
    await stele.auditLog.sequence()
    await stele.close()
    const again = await place.stele(options)
    expect(await verdict(again)).toMatchObject({ verified: true, contents: { same: 0, gone: 3 } })
  })

  test('messages that have expired explain nothing about what does not need them, or does not open', async () => {
    const stele = await opened(await bed.place())
    const old = { createdAt: now - 40 * day }
    const begun = await begin(stele, chatBody([user('old')]), old)
    await settle(stele, begun, completed(completionBody('answer'), old))
    const { call } = await exchange(stele, [user('old'), assistant('answer'), user('young')], 'fine')
    await stele.auditLog.sequence()
    await stele.retention.run({ now })
    expect((await verdict(stele)).fault).toBeUndefined()
    const sealed = await forgedValue(stele, form.sealed)
    const { kysely } = stele.database
    const [first] = (await rowsOf(stele, 'messages')).filter(({ seq }) => seq === 0)
    const [request] = await kysely
      .selectFrom('llm_requests')
      .selectAll()
      .where('id', '=', call.callId)
      .execute()
    const [reply] = await kysely
      .selectFrom('llm_responses')
      .selectAll()
      .where('request_id', '=', call.callId)
      .execute()
    const set = (table: 'llm_requests' | 'llm_responses', change: object) =>
      kysely
        .updateTable(table)
        .set(change)
        .where(table === 'llm_requests' ? 'id' : 'request_id', '=', call.callId)
        .execute()
    for (const change of [{ params: sealed }, { params: null, body: sealed }]) {
      await set('llm_requests', change)
      await expectGone(stele)
      await set('llm_requests', { params: request?.params ?? null, body: request?.body ?? null })
    }
    const { conversation_id, seq = 0 } = first ?? {}
    for (const content_at of [null, 1]) {
      await set('llm_responses', { body: sealed, content_at, conversation_id, seq })
      await expectGone(stele)
    }
    await set('llm_responses', {
      body: reply?.body ?? null,
      content_at: reply?.content_at ?? null,
      conversation_id: reply?.conversation_id ?? null,
      seq: reply?.seq ?? null,
    })
    expect((await verdict(stele)).fault).toBeUndefined()
  })

  test('a list of a call that is no list any more is named', async () => {
    const stele = await opened(await bed.place())
    const { call } = await exchange(stele, [user('question')], 'answer')
    await stele.auditLog.sequence()
    await sql`UPDATE llm_responses SET finish_reasons = 'stop'`.execute(stele.database.kysely)
    expect((await verdict(stele)).fault?.reason).toContain(call.callId)
  })

  test('a conversation that goes on from itself is named', async () => {
    const stele = await opened(await bed.place())
    const { settled } = await exchange(stele, [user('question')], 'answer')
    await stele.auditLog.sequence()
    await sql`UPDATE conversations SET parent_id = id, parent_seq = 1`.execute(stele.database.kysely)
    expect((await verdict(stele)).fault?.reason).toContain(`${settled.conversationId} goes on from itself`)
  })
}
