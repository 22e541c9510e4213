import { expect, test } from 'vitest'
import { newId, responseIdOf } from '../../src/ids.ts'
import type { PlacedCall, ResponseStart } from '../../src/model/call.ts'
import { parseChatRequest, withPreface } from '../../src/model/chat-request.ts'
import type { Continuation } from '../../src/model/prepared-request.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import { isAbsent } from '../../src/privacy/content.ts'
import type { BeginInput } from '../../src/recorder/begin-input.ts'
import { cancelResponse, deleteResponse, endResponse } from '../../src/recorder/respond.ts'
import { doStep } from '../../src/retention/do-step.ts'
import type { Stele } from '../../src/stele.ts'
import { callStore } from '../../src/store/calls.ts'
import { newConversationRow } from '../../src/store/new-rows.ts'
import { responseStore } from '../../src/store/responses.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  reproduced,
  settle,
  system,
  user,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, inBatch, rowsOf } from '../harness/rows.ts'

const started = (id = newId('response'), more: Partial<ResponseStart> = {}): ResponseStart => ({
  id,
  previousResponseId: undefined,
  input: '[]',
  body: '{"status":"in_progress"}',
  metadata: undefined,
  ...more,
})

const ended = (id: string, status = 'completed') => ({ id, status, body: JSON.stringify({ status }) })

/** Where a call goes on that follows the last message of a conversation, as it stands in the database. */
async function after(
  stele: Stele,
  conversationId: string,
  more: Partial<Continuation> = {},
): Promise<Continuation> {
  const rows = await stele.conversations.history(
    'ada',
    conversationId,
    more.seq ?? Number.MAX_SAFE_INTEGER - 1,
  )
  const last = rows.at(-1)
  return {
    conversationId,
    seq: last?.seq ?? -1,
    chainHash: last?.chain_hash ?? '',
    wireHash: last?.wire_hash ?? '',
    newMessages: 1,
    isWhole: true,
    ...more,
  }
}

const first = [user('q1'), assistant('a1')]

async function turn(
  stele: Stele,
  input: Partial<BeginInput>,
  messages: readonly unknown[],
): Promise<PlacedCall> {
  const call = await begin(stele, chatBody(messages), input)
  await settle(stele, call, completed(completionBody('a2')))
  return call
}

export function responsesSuite(bed: Bed): void {
  test('a response is there from the intent of its first call, and ends with the end of its last', async () => {
    const stele = await (await bed.place()).stele()
    const responses = responseStore(stele.database)
    const response = started(undefined, { input: '[{"type":"message"}]', metadata: '{"a":"b"}' })
    const call = await begin(stele, chatBody([user('q')]), { response })
    expect(await responses.get('ada', response.id)).toMatchObject({
      status: 'in_progress',
      seq: undefined,
      callId: call.callId,
    })
    expect(await responses.input('ada', response.id)).toBe(response.input)
    expect(await responses.isUnderWay('ada', call.callId)).toBe(true)
    await settle(stele, call, { ...completed(completionBody('a')), response: ended(response.id) })
    expect(await responses.get('ada', response.id)).toMatchObject({
      status: 'completed',
      conversationId: call.conversationId,
      seq: 1,
      body: '{"status":"completed"}',
    })
    expect(await responses.get('bob', response.id)).toBeUndefined()
    const [row] = await rowsOf(stele, 'responses')
    expect(row).toMatchObject({ metadata: '{"a":"b"}', previous_response_id: null, deleted_at: null })
  })

  test('what is repeated is written once', async () => {
    const stele = await (await bed.place()).stele()
    const response = started()
    const input = { response, callId: newId('call'), createdAt: 5 }
    const body = chatBody([user('q')])
    const [one] = [await begin(stele, body, input), await begin(stele, body, input)]
    const outcome = { ...completed(completionBody('a')), response: ended(response.id), createdAt: 6 }
    await settle(stele, one, outcome)
    await settle(stele, one, { ...outcome, response: ended(response.id, 'failed') })
    const rows = await rowsOf(stele, 'responses')
    expect(rows.map(({ status }) => status)).toEqual(['completed'])
  })

  test('an end that comes without a call is taken once, and not over another', async () => {
    const stele = await (await bed.place()).stele()
    const { recorder } = stele
    const responses = responseStore(stele.database)
    const [failing, done] = [started(), started()]
    const calls = [
      await begin(stele, chatBody([user('1')]), { response: failing }),
      await begin(stele, chatBody([user('2')]), { response: done }),
    ]
    await settle(stele, calls[1] as PlacedCall, {
      ...completed(completionBody('a')),
      response: ended(done.id),
    })
    for (const { id } of [failing, done]) await endResponse(recorder, 'ada', ended(id, 'failed'))
    await endResponse(recorder, 'ada', ended(failing.id, 'cancelled'))
    expect((await responses.get('ada', failing.id))?.status).toBe('failed')
    expect((await responses.get('ada', done.id))?.status).toBe('completed')
  })

  test('one that is asked to stop is found by whoever makes it, and still ends', async () => {
    const stele = await (await bed.place()).stele()
    const { recorder } = stele
    const responses = responseStore(stele.database)
    const { id } = started()
    const call = await begin(stele, chatBody([user('q')]), { response: started(id) })
    expect(await cancelResponse(recorder, 'bob', id)).toBe(false)
    expect(await responses.cancelling([id])).toEqual([])
    expect(await cancelResponse(recorder, 'ada', id)).toBe(true)
    expect(await responses.cancelling([id, newId('response')])).toEqual([id])
    await settle(stele, call, { status: 'aborted', response: ended(id, 'cancelled') })
    expect(await cancelResponse(recorder, 'ada', id)).toBe(false)
    expect((await responses.get('ada', id))?.status).toBe('cancelled')
  })

  test('a deleted one is not found, of another user not deleted', async () => {
    const stele = await (await bed.place()).stele()
    const responses = responseStore(stele.database)
    const response = started()
    await begin(stele, chatBody([user('q')]), { response })
    expect(await deleteResponse(stele.recorder, 'bob', response.id)).toBe(false)
    expect(await responses.get('ada', response.id)).toBeDefined()
    expect(await deleteResponse(stele.recorder, 'ada', response.id)).toBe(true)
    expect(await responses.get('ada', response.id)).toBeUndefined()
    expect(await responses.input('ada', response.id)).toBeUndefined()
  })

  test('a call that knows where it goes on appends there, whatever other conversations say the same', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q1')], 'a1')
    // Another conversation of the same words, and the later one.
    await stele.recorder.begin({ userId: 'ada', provider: 'test', body: chatBody([user('q1')]) })
    const next = await turn(stele, { continues: await after(stele, call.conversationId) }, [
      ...first,
      user('q2'),
    ])
    expect(next).toMatchObject({ conversationId: call.conversationId, upToSeq: 2 })
    expect(await reproduced(stele, next.callId)).toMatchObject({ request: chatBody([...first, user('q2')]) })
    // Its words are found again by a client that sends all of them.
    const { call: found } = await exchange(stele, [...first, user('q2'), assistant('a2'), user('q3')], 'a3')
    expect(found.conversationId).toBe(call.conversationId)
  })

  test('one that goes on from an earlier message forks, unless it must not', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q1')], 'a1')
    const { conversationId } = call
    const continues = await after(stele, conversationId)
    await turn(stele, { continues }, [...first, user('q2')])
    const onlyAtEnd = begin(stele, chatBody([...first, user('q3')]), {
      continues: { ...continues, onlyAtEnd: true },
    })
    const error = await failure('conversation_locked', onlyAtEnd)
    expect(error.retryable).toBe(true)
    const fork = await turn(stele, { continues }, [...first, user('q3')])
    expect(fork.conversationId).not.toBe(conversationId)
    expect(await reproduced(stele, fork.callId)).toMatchObject({ request: chatBody([...first, user('q3')]) })
    const further = await turn(stele, { continues: await after(stele, fork.conversationId) }, [
      ...first,
      user('q3'),
      assistant('a2'),
      user('q4'),
    ])
    expect(further.conversationId).toBe(fork.conversationId)
  })

  test('two that race to go on in one batch: one appends, the other forks', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q1')], 'a1')
    const continues = await after(stele, call.conversationId)
    const raced = await Promise.all(
      ['q2', 'q3'].map(content => begin(stele, chatBody([...first, user(content)]), { continues })),
    )
    expect(new Set(raced.map(({ conversationId }) => conversationId)).size).toBe(2)
    for (const [index, one] of raced.entries())
      expect((await reproduced(stele, one.callId)).request).toBe(chatBody([...first, user(`q${index + 2}`)]))
  })

  test('a request that leaves messages out is kept whole and comes after them', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q1')], 'a1')
    const continues = await after(stele, call.conversationId, { isWhole: false, withdraws: [0] })
    const next = await turn(stele, { continues }, [assistant('a1'), user('q2')])
    expect(next).toMatchObject({ conversationId: call.conversationId, upToSeq: 2 })
    expect(await reproduced(stele, next.callId)).toMatchObject({
      request: chatBody([assistant('a1'), user('q2')]),
    })
    const rows = await rowsOf(stele, 'messages')
    expect(rows.map(({ seq, deleted_at }) => [seq, deleted_at !== null])).toEqual([
      [0, true],
      [1, false],
      [2, false],
      [3, false],
    ])
  })

  test('a call without anything new puts its reply after what is there', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q1')], 'a1')
    const continues = await after(stele, call.conversationId, { newMessages: 0 })
    const next = await turn(stele, { continues }, first)
    expect(next.upToSeq).toBe(1)
    expect(await reproduced(stele, next.callId)).toMatchObject({ request: chatBody(first) })
    expect((await rowsOf(stele, 'messages')).map(({ role }) => role)).toEqual([
      'user',
      'assistant',
      'assistant',
    ])
  })

  test('a conversation that is still empty begins with it', async () => {
    const stele = await (await bed.place()).stele()
    const id = newId('conversation')
    const row = newConversationRow({ user_id: 'ada', id, next_seq: 0, created_at: 1 })
    await inBatch(stele, batch => batch.insert('conversations', [row]))
    const next = await turn(stele, { continues: await after(stele, id) }, [user('q1')])
    expect(next).toMatchObject({ conversationId: id, upToSeq: 0 })
    expect((await rowsOf(stele, 'messages')).map(({ seq }) => seq)).toEqual([0, 1])
  })

  test('a conversation that is gone, or of another user, is not gone on from', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q1')], 'a1')
    const continues = await after(stele, call.conversationId)
    const body = chatBody([...first, user('q2')])
    await failure('conversation_not_found', begin(stele, body, { continues, userId: 'bob' }))
    await stele.database.kysely.updateTable('conversations').set({ deleted_at: 1 }).execute()
    await failure('conversation_not_found', begin(stele, body, { continues }))
    expect(await countOf(stele, 'llm_requests')).toBe(1)
  })

  test('a purged conversation takes what its responses said along, and leaves others', async () => {
    const stele = await (await bed.place()).stele()
    const [callId, other] = [newId('call'), newId('call')]
    const own = { callId, response: started(responseIdOf(callId)) }
    const { call } = await exchange(stele, [user('q1')], 'a1', own)
    await exchange(stele, [user('another')], 'a', { callId: other, response: started(responseIdOf(other)) })
    const edit = { userId: 'ada', at: 1, action: 'purge-conversation', id: call.conversationId } as const
    await stele.recorder.change({ kind: 'edit', edit })
    expect((await rowsOf(stele, 'responses')).map(({ call_id }) => call_id)).toEqual([other])
  })

  test('what expires of a call takes its response along', async () => {
    const stele = await (await bed.place()).stele()
    const ids = [newId('call'), newId('call'), newId('call')]
    for (const callId of ids)
      await exchange(stele, [user(callId)], 'a', { callId, response: started(responseIdOf(callId)) })
    const [removed = [], cleared = []] = ids.map(id => [{ id, user_id: 'ada' }])
    await doStep(stele.database, { kind: 'calls', removed, cleared })
    const rows = await rowsOf(stele, 'responses')
    expect(rows.map(({ call_id, input, body }) => [call_id, isAbsent(input), isAbsent(body)])).toEqual([
      [ids[1], true, true],
      [ids[2], false, false],
    ])
  })

  test('instructions and left-out messages survive an export and an import', async () => {
    const place = await bed.place()
    const source = await place.stele()
    const instructed = parseChatRequest(chatBody([system('Be brief.'), user('q1')]))
    const call = await begin(source, withPreface(instructed, 1))
    expect(call.upToSeq).toBe(0)
    await settle(source, call, completed(completionBody('a1')))
    const continues = await after(source, call.conversationId, { isWhole: false, withdraws: [0] })
    const next = await turn(source, { continues }, [assistant('a1'), user('q2')])
    const { database, hashes } = await (await bed.place()).stele()
    let lines = ''
    await exportLines(source.database, async text => {
      lines += text
    })
    const report = await importLines(database, hashes, pieces(lines))
    expect(report).toMatchObject({ refused: 0 })
    const target = { database } as Stele
    for (const { callId } of [call, next])
      expect(await callStore(database).exactRequest('ada', callId)).toEqual(
        await source.calls.exactRequest('ada', callId),
      )
    const frames = async (stele: Stele) =>
      (await rowsOf(stele, 'llm_requests')).map(row => [row.params, row.body])
    expect(await frames(target)).toEqual(await frames(source))
  })
}

async function* pieces(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}
