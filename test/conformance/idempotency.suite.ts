import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { BegunCall, CallStatus, IdempotencyClaim } from '../../src/model/call.ts'
import type { Stele } from '../../src/stele.ts'
import { idempotencyKeyStore } from '../../src/store/idempotency-keys.ts'
import { assistant, begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

const now = Date.UTC(2026, 5, 1)
const hour = 3_600_000

/** A claim that holds for an hour from `now`. */
function claim(keyHash: string, more: Partial<IdempotencyClaim> = {}): IdempotencyClaim {
  return { keyHash, requestHash: 'request', expiresAt: now + hour, ...more }
}

const ask = (stele: Stele, keyHash: string, more: Partial<IdempotencyClaim> = {}, createdAt = now) =>
  begin(stele, chatBody([user(`for ${keyHash}`)]), { claim: claim(keyHash, more), createdAt })

const answer = (stele: Stele, call: BegunCall) => stele.recorder.settle(call, completed(completionBody('a')))

const fail = (stele: Stele, call: BegunCall, status: CallStatus = 'failed') =>
  stele.recorder.settle(call, { status, errorCode: 'x' })

export function idempotencySuite(bed: Bed): void {
  test('a key is held by its call from the begin on, and by its reply after the settle', async () => {
    const stele = await (await bed.place()).stele()
    const keys = idempotencyKeyStore(stele.database)
    expect(await keys.find('ada', 'k', now)).toBeUndefined()
    const call = await ask(stele, 'k')
    const held = {
      callId: call.callId,
      requestHash: 'request',
      conversationId: call.conversationId,
      replyConversationId: call.conversationId,
      createdAt: now,
    }
    expect(await keys.find('ada', 'k', now)).toEqual({ ...held, status: 'pending', contentType: undefined })
    expect(await keys.find('bob', 'k', now)).toBeUndefined()
    await failure('idempotency_key_in_use', ask(stele, 'k'))
    await answer(stele, call)
    expect(await keys.find('ada', 'k', now)).toEqual({
      ...held,
      status: 'completed',
      contentType: 'application/json',
    })
    await failure('idempotency_key_in_use', ask(stele, 'k'))
    await failure('idempotency_key_reused', ask(stele, 'k', { requestHash: 'another' }))
    expect(await countOf(stele, 'llm_requests')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(2)
  })

  test('a reply whose place another took is found where it is, and its call where it was begun', async () => {
    const stele = await (await bed.place()).stele()
    const call = await ask(stele, 'k')
    await begin(stele, chatBody([user('for k'), assistant('said elsewhere'), user('and on')]))
    const { conversationId } = await answer(stele, call)
    expect(conversationId).not.toBe(call.conversationId)
    expect(await idempotencyKeyStore(stele.database).find('ada', 'k', now)).toMatchObject({
      conversationId: call.conversationId,
      replyConversationId: conversationId,
    })
  })

  test.each(['failed', 'aborted', 'orphaned'] as const)(
    'a call that ended as %s passes its key on, to the same request alone',
    async status => {
      const stele = await (await bed.place()).stele()
      await fail(stele, await ask(stele, 'k'), status)
      await failure('idempotency_key_reused', ask(stele, 'k', { requestHash: 'another' }))
      const second = await ask(stele, 'k')
      expect(await rowsOf(stele, 'idempotency_keys')).toMatchObject([{ call_id: second.callId }])
      await failure('idempotency_key_in_use', ask(stele, 'k'))
      await answer(stele, second)
      await failure('idempotency_key_in_use', ask(stele, 'k'))
    },
  )

  test('an expired key is as good as none, for any request', async () => {
    const stele = await (await bed.place()).stele()
    const keys = idempotencyKeyStore(stele.database)
    await answer(stele, await ask(stele, 'k'))
    const later = now + hour
    await failure('idempotency_key_in_use', ask(stele, 'k', {}, later - 1))
    expect(await keys.find('ada', 'k', later)).toBeUndefined()
    const next = await ask(stele, 'k', { requestHash: 'another', expiresAt: later + hour }, later)
    expect(await rowsOf(stele, 'idempotency_keys')).toEqual([
      {
        user_id: 'ada',
        key_hash: 'k',
        request_hash: 'another',
        call_id: next.callId,
        expires_at: later + hour,
      },
    ])
  })

  test('the same begin again finds its own claim', async () => {
    const stele = await (await bed.place()).stele()
    const callId = newId('call')
    const again = () => begin(stele, chatBody([user('q')]), { callId, claim: claim('k'), createdAt: now })
    const [first, second] = [await again(), await again()]
    expect(second).toEqual(first)
    expect(await countOf(stele, 'idempotency_keys')).toBe(1)
  })

  test('a begin that is refused takes no key', async () => {
    const stele = await (await bed.place()).stele()
    const conversationId = newId('conversation')
    const refused = begin(stele, chatBody([user('q')]), { conversationId, claim: claim('k'), createdAt: now })
    await failure('conversation_not_found', refused)
    expect(await countOf(stele, 'idempotency_keys')).toBe(0)
    await ask(stele, 'k')
  })

  test('of many begins at once under one key one is begun, and their neighbours are too', async () => {
    const place = await bed.place()
    const steles =
      bed.name === 'SQLite memory' ? [await place.stele()] : [await place.stele(), await place.stele()]
    const outcomes = await Promise.allSettled(
      Array.from({ length: 60 }, (_, index) => {
        const stele = steles[index % steles.length] as Stele
        return ask(stele, index % 3 === 0 ? 'contended' : `own ${index}`)
      }),
    )
    const begun = outcomes.filter(({ status }, index) => status === 'fulfilled' && index % 3 === 0)
    expect(begun).toHaveLength(1)
    const own = outcomes.filter(({ status }, index) => status === 'fulfilled' && index % 3 !== 0)
    expect(own).toHaveLength(40)
    for (const outcome of outcomes)
      if (outcome.status === 'rejected')
        expect(outcome.reason).toMatchObject({ code: 'idempotency_key_in_use' })
    expect(await countOf(steles[0] as Stele, 'llm_requests')).toBe(41)
    expect(await countOf(steles[0] as Stele, 'idempotency_keys')).toBe(41)
  })

  test('of many tries at once after a failure one gets the key', async () => {
    const place = await bed.place()
    const steles =
      bed.name === 'SQLite memory' ? [await place.stele()] : [await place.stele(), await place.stele()]
    await fail(steles[0] as Stele, await ask(steles[0] as Stele, 'k'))
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => ask(steles[index % steles.length] as Stele, 'k')),
    )
    const winners = outcomes.flatMap(one => (one.status === 'fulfilled' ? [one.value.callId] : []))
    expect(winners).toHaveLength(1)
    expect(await rowsOf(steles[0] as Stele, 'idempotency_keys')).toMatchObject([{ call_id: winners[0] }])
    expect(await countOf(steles[0] as Stele, 'llm_requests')).toBe(2)
  })

  test('expired keys are forgotten, however many, and no other; their calls stay', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a', { claim: claim('old'), createdAt: now })
    await ask(stele, 'kept', { expiresAt: now + 2 * hour })
    const row = { user_id: 'ada', request_hash: 'r', call_id: call.callId }
    await stele.database.batch(batch =>
      batch.insert(
        'idempotency_keys',
        Array.from({ length: 2_500 }, (_, index) => ({
          ...row,
          key_hash: `old ${index}`,
          expires_at: now + hour - (index % 1_700),
        })),
      ),
    )
    const keys = idempotencyKeyStore(stele.database)
    expect(await keys.forgetExpired(now - 1)).toBe(0)
    expect(await keys.forgetExpired(now + hour)).toBe(2_501)
    expect((await rowsOf(stele, 'idempotency_keys')).map(({ key_hash }) => key_hash)).toEqual(['kept'])
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({ status: 'completed' })
    expect(await keys.forgetExpired(now + hour)).toBe(0)
  })
}
