import { expect, test } from 'vitest'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  historyOf,
  reproduced,
  system,
  user,
  type WireMessage,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

/** Which conversation a request continues. */
export function threadingSuite(bed: Bed): void {
  test('a linear history stores each message once, however often the client resends it', async () => {
    const stele = await (await bed.place()).stele()
    const history: WireMessage[] = [system('be brief')]
    const calls: { callId: string; request: string; response: string }[] = []
    for (let turn = 0; turn < 12; turn++) {
      history.push(user(`question ${turn}`))
      const { call, request, response } = await exchange(stele, history, `answer ${turn}`)
      history.push(assistant(`answer ${turn}`))
      calls.push({ callId: call.callId, request, response })
    }
    const [conversation, ...others] = await stele.conversations.list()
    expect(others).toEqual([])
    expect(conversation?.nextSeq).toBe(25)
    const rows = await rowsOf(stele, 'messages')
    expect(rows.map(row => row.seq)).toEqual(Array.from({ length: 25 }, (_, seq) => seq))
    expect(await historyOf(stele, conversation?.id ?? '')).toEqual(history)
    for (const { callId, request, response } of calls) {
      expect(await reproduced(stele, callId)).toEqual({ request, response })
    }
  })

  test('an edited message forks where it was edited, and shares what came before', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('q0')], 'a0')
    await exchange(stele, [user('q0'), assistant('a0'), user('q1')], 'a1')
    const edited = await exchange(stele, [user('q0'), assistant('a0'), user('q1, edited')], 'a1 of the edit')
    expect(await stele.conversations.get('ada', edited.call.conversationId)).toMatchObject({
      parentId: first.call.conversationId,
      parentSeq: 1,
      nextSeq: 4,
    })
    expect(await countOf(stele, 'messages')).toBe(6)
    const further = await exchange(
      stele,
      [user('q0'), assistant('a0'), user('q1, edited'), assistant('a1 of the edit'), user('q2')],
      'a2',
    )
    expect(further.call.conversationId).toBe(edited.call.conversationId)
    expect(await countOf(stele, 'messages')).toBe(8)
    expect(await reproduced(stele, further.call.callId)).toEqual({
      request: further.request,
      response: further.response,
    })
  })

  test('an edited first message starts a conversation of its own', async () => {
    const stele = await (await bed.place()).stele()
    await exchange(stele, [user('q0')], 'a0')
    const other = await exchange(stele, [user('q0, edited'), assistant('a0'), user('q1')], 'a1')
    expect(await stele.conversations.get('ada', other.call.conversationId)).toMatchObject({
      parentId: undefined,
      nextSeq: 4,
    })
  })

  test('the same request after its reply forks: the first reply stays', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('q')], 'one')
    const again = await exchange(stele, [user('q')], 'another')
    expect(again.call.conversationId).not.toBe(first.call.conversationId)
    expect(await stele.conversations.get('ada', again.call.conversationId)).toMatchObject({
      parentId: first.call.conversationId,
      parentSeq: 0,
    })
    expect(await historyOf(stele, first.call.conversationId)).toEqual([user('q'), assistant('one')])
    expect(await historyOf(stele, again.call.conversationId)).toEqual([user('q'), assistant('another')])
    expect(await countOf(stele, 'messages')).toBe(3)
    expect(await reproduced(stele, again.call.callId)).toEqual({
      request: again.request,
      response: again.response,
    })
  })

  test('whichever of two replies the client goes on with, its conversation goes on', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('q')], 'one')
    const again = await exchange(stele, [user('q')], 'another')
    const onFirst = await exchange(stele, [user('q'), assistant('one'), user('more')], 'x')
    const onSecond = await exchange(stele, [user('q'), assistant('another'), user('more')], 'y')
    expect(onFirst.call.conversationId).toBe(first.call.conversationId)
    expect(onSecond.call.conversationId).toBe(again.call.conversationId)
  })

  test.for(['failed', 'orphaned'] as const)(
    'asking again after a %s call goes on in the same conversation',
    async status => {
      const stele = await (await bed.place()).stele()
      const failed = await begin(stele, chatBody([user('q')]))
      await stele.recorder.settle(failed, { status, errorCode: 'provider_timeout' })
      const again = await exchange(stele, [user('q')], 'a')
      expect(again.call.conversationId).toBe(failed.conversationId)
      expect(await countOf(stele, 'conversations')).toBe(1)
      expect(await countOf(stele, 'messages')).toBe(2)
      expect((await reproduced(stele, failed.callId)).request).toBe(again.request)
    },
  )

  test('of very many conversations that are the same so far the latest goes on, and any that is named', async () => {
    const stele = await (await bed.place()).stele()
    const ids: string[] = []
    for (let index = 0; index < 25; index++) {
      const { call } = await exchange(stele, [user('hi')], 'hello')
      ids.push(call.callId)
    }
    const replies = (await rowsOf(stele, 'messages')).filter(({ role }) => role === 'assistant')
    const conversationOf = (callId: string | undefined): string | undefined =>
      replies.find(({ call_id }) => call_id === callId)?.conversation_id
    const next = [user('hi'), assistant('hello'), user('and now?')]
    const went = await exchange(stele, next, 'well')
    expect(went.call.conversationId).toBe(conversationOf(ids.at(-1)))
    const oldest = conversationOf(ids[0])
    const other = [user('hi'), assistant('hello'), user('and then?')]
    const named = await exchange(stele, other, 'well', oldest === undefined ? {} : { conversationId: oldest })
    expect(named.call.conversationId).toBe(oldest)
    expect(await historyOf(stele, oldest ?? '')).toEqual([...other, assistant('well')])
    for (const { call, request, response } of [went, named])
      expect(await reproduced(stele, call.callId)).toEqual({ request, response })
  })

  test('the same request while the first still awaits its reply forks', async () => {
    const stele = await (await bed.place()).stele()
    const first = await begin(stele, chatBody([user('q')]))
    const second = await begin(stele, chatBody([user('q')]))
    expect(second.conversationId).not.toBe(first.conversationId)
    const settled = await Promise.all([
      stele.recorder.settle(second, completed(completionBody('two'))),
      stele.recorder.settle(first, completed(completionBody('one'))),
    ])
    expect(settled.map(({ conversationId }) => conversationId)).toEqual([
      second.conversationId,
      first.conversationId,
    ])
    expect(await historyOf(stele, first.conversationId)).toEqual([user('q'), assistant('one')])
    expect(await historyOf(stele, second.conversationId)).toEqual([user('q'), assistant('two')])
  })

  test('two users never share a conversation, whatever they say', async () => {
    const stele = await (await bed.place()).stele()
    const ada = await exchange(stele, [user('q')], 'a', { userId: 'ada' })
    const bob = await exchange(stele, [user('q')], 'a', { userId: 'bob' })
    const bobs = await exchange(stele, [user('q'), assistant('a'), user('more')], 'b', { userId: 'bob' })
    expect(bob.call.conversationId).not.toBe(ada.call.conversationId)
    expect(bobs.call.conversationId).toBe(bob.call.conversationId)
    await failure(
      'conversation_not_found',
      stele.messages.list({ userId: 'ada', conversationId: bob.call.conversationId }),
    )
  })

  test.for(['system', 'developer'])(
    'a shared %s message alone does not join two conversations',
    async role => {
      const stele = await (await bed.place()).stele()
      const instructions = { role, content: 'be brief' }
      const first = await exchange(stele, [instructions, user('one')], 'a')
      const second = await exchange(stele, [instructions, user('two')], 'a')
      const third = await exchange(
        stele,
        [instructions, { role: 'system', content: 'more' }, user('one')],
        'a',
      )
      const ids = new Set([first, second, third].map(({ call }) => call.conversationId))
      expect(ids.size).toBe(3)
      expect(await stele.conversations.get('ada', second.call.conversationId)).toMatchObject({
        parentId: undefined,
      })
    },
  )

  test('a changed system message starts another conversation', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [system('be brief'), user('q')], 'a')
    const second = await exchange(stele, [system('be long'), user('q'), assistant('a'), user('more')], 'b')
    expect(second.call.conversationId).not.toBe(first.call.conversationId)
  })

  test('a history that comes in whole, from elsewhere, is one conversation that goes on', async () => {
    const stele = await (await bed.place()).stele()
    const imported = Array.from({ length: 30 }, (_, index) =>
      index % 2 ? assistant(`a${index}`) : user(`q${index}`),
    )
    const first = await exchange(stele, [...imported, user('now')], 'b')
    const second = await exchange(stele, [...imported, user('now'), assistant('b'), user('next')], 'c')
    expect(second.call.conversationId).toBe(first.call.conversationId)
    expect(await countOf(stele, 'messages')).toBe(34)
  })

  test('many messages between two calls, as tools make them, go on in the same conversation', async () => {
    const stele = await (await bed.place()).stele()
    const toolCalls = Array.from({ length: 6 }, (_, index) => ({
      id: `call_${index}`,
      type: 'function',
      function: { name: 'look', arguments: '{}' },
    }))
    const request = chatBody([user('look around')])
    const call = await begin(stele, request)
    await stele.recorder.settle(call, completed(completionBody(null, { message: { tool_calls: toolCalls } })))
    const results = toolCalls.map(({ id }) => ({
      role: 'tool',
      tool_call_id: id,
      content: `result of ${id}`,
    }))
    const next = await exchange(
      stele,
      [user('look around'), assistant(null, { tool_calls: toolCalls }), ...results],
      'done',
    )
    expect(next.call.conversationId).toBe(call.conversationId)
    expect(await countOf(stele, 'messages')).toBe(9)
    expect(await reproduced(stele, next.call.callId)).toEqual({
      request: next.request,
      response: next.response,
    })
  })

  test('going back and editing far up a long history forks there', async () => {
    const stele = await (await bed.place()).stele()
    const history: WireMessage[] = []
    for (let turn = 0; turn < 10; turn++) {
      history.push(user(`q${turn}`))
      await exchange(stele, history, `a${turn}`)
      history.push(assistant(`a${turn}`))
    }
    const before = await countOf(stele, 'messages')
    const edited = await exchange(stele, [...history.slice(0, 4), user('q2, edited')], 'other')
    expect(await stele.conversations.get('ada', edited.call.conversationId)).toMatchObject({ parentSeq: 3 })
    expect(await countOf(stele, 'messages')).toBe(before + 2)
  })
}
