import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import { newConversationRow } from '../../src/store/new-rows.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  historyOf,
  reproduced,
  settle,
  user,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, inBatch } from '../harness/rows.ts'

/** Requests whose client names the conversation. */
export function namedSuite(bed: Bed): void {
  test('a named conversation is continued', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    const next = await exchange(stele, [user('q'), assistant('a'), user('more')], 'b', {
      conversationId: call.conversationId,
    })
    expect(next.call.conversationId).toBe(call.conversationId)
    expect(await countOf(stele, 'messages')).toBe(4)
  })

  test('an unknown conversation is refused, and nothing is stored', async () => {
    const stele = await (await bed.place()).stele()
    for (const conversationId of [
      'conv_01h455vb4pex5vsknk084sn02q',
      'no-id',
      '',
      'conv_\u0000',
      '; DROP TABLE users',
    ]) {
      const error = await failure(
        'conversation_not_found',
        begin(stele, chatBody([user('q')]), { conversationId }),
      )
      expect(error.param).toBe('conversation')
    }
    expect(await countOf(stele, 'llm_requests')).toBe(0)
    expect(await countOf(stele, 'conversations')).toBe(0)
  })

  test("another user's conversation is as unknown as one that does not exist", async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a', { userId: 'bob' })
    const { conversationId } = call
    await failure('conversation_not_found', begin(stele, chatBody([user('q')]), { conversationId }))
    expect(await countOf(stele, 'llm_requests')).toBe(1)
    expect(await historyOf(stele, conversationId, 'bob')).toHaveLength(2)
  })

  test('a deleted conversation is unknown', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    const { conversationId } = call
    await stele.database.kysely.updateTable('conversations').set({ deleted_at: 1 }).execute()
    const body = chatBody([user('q'), assistant('a'), user('more')])
    await failure('conversation_not_found', begin(stele, body, { conversationId }))
    const unnamed = await begin(stele, body)
    expect(unnamed.conversationId).not.toBe(conversationId)
    expect((await reproduced(stele, unnamed.callId)).request).toBe(body)
  })

  test('an empty conversation takes the messages of its first request', async () => {
    const stele = await (await bed.place()).stele()
    const conversationId = await emptyConversation(stele)
    const first = await exchange(stele, [user('q')], 'a', { conversationId })
    expect(first.call.conversationId).toBe(conversationId)
    expect(await historyOf(stele, conversationId)).toEqual([user('q'), assistant('a')])
  })

  test('two first requests to an empty conversation at once both keep what they said', async () => {
    const stele = await (await bed.place()).stele()
    const conversationId = await emptyConversation(stele)
    const calls = await Promise.all(
      ['one', 'two'].map(text => begin(stele, chatBody([user(text)]), { conversationId })),
    )
    expect(calls.filter(call => call.conversationId === conversationId)).toHaveLength(1)
    for (const [index, call] of calls.entries()) {
      expect((await reproduced(stele, call.callId)).request).toBe(
        chatBody([user(index === 0 ? 'one' : 'two')]),
      )
    }
  })

  test('of two conversations with the same words the named one is continued', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('q')], 'a')
    const second = await exchange(stele, [user('q')], 'a')
    expect(second.call.conversationId).not.toBe(first.call.conversationId)
    const body = [user('q'), assistant('a'), user('more')]
    const onFirst = await exchange(stele, body, 'b', { conversationId: first.call.conversationId })
    expect(onFirst.call.conversationId).toBe(first.call.conversationId)
  })

  test('a request that says something else than its named conversation forks from it', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    const other = await exchange(stele, [user('something else')], 'b', {
      conversationId: call.conversationId,
    })
    expect(other.call.conversationId).not.toBe(call.conversationId)
    expect(await stele.conversations.get('ada', other.call.conversationId)).toMatchObject({
      parentId: call.conversationId,
    })
    expect(await historyOf(stele, other.call.conversationId)).toEqual([
      user('something else'),
      assistant('b'),
    ])
    expect(await historyOf(stele, call.conversationId)).toEqual([user('q'), assistant('a')])
  })

  test('of two conversations that begin with the same words, the one whose reply is told goes on', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('q')], 'one')
    const other = await exchange(stele, [user('something else')], 'x')
    // Forked from nothing, with a question of its own that is the same as the first one's.
    const second = await exchange(stele, [user('q')], 'two', { conversationId: other.call.conversationId })
    expect(second.call.conversationId).not.toBe(first.call.conversationId)
    const onFirst = await exchange(stele, [user('q'), assistant('one'), user('more')], 'b')
    const onSecond = await exchange(stele, [user('q'), assistant('two'), user('more')], 'b')
    expect(onFirst.call.conversationId).toBe(first.call.conversationId)
    expect(onSecond.call.conversationId).toBe(second.call.conversationId)
  })

  test('two racing continuations of one conversation are both kept whole', async () => {
    const place = await bed.place()
    const steles =
      bed.name === 'SQLite memory' ? [await place.stele()] : [await place.stele(), await place.stele()]
    const [stele] = steles
    if (stele === undefined) throw new Error('no store')
    const { call } = await exchange(stele, [user('q')], 'a')
    const texts = Array.from({ length: 8 }, (_, index) => `continuation ${index}`)
    const calls = await Promise.all(
      texts.map((text, index) =>
        begin(steles[index % steles.length] ?? stele, chatBody([user('q'), assistant('a'), user(text)])),
      ),
    )
    expect(calls.filter(({ conversationId }) => conversationId === call.conversationId)).toHaveLength(1)
    const settled = await Promise.all(
      calls.map((one, index) =>
        settle(steles[index % steles.length] ?? stele, one, completed(completionBody(`reply ${index}`))),
      ),
    )
    for (const [index, { conversationId }] of settled.entries()) {
      expect(await historyOf(stele, conversationId)).toEqual([
        user('q'),
        assistant('a'),
        user(texts[index]),
        assistant(`reply ${index}`),
      ])
    }
    await expectGapFree(stele)
  })

  test('two replies to one question are both kept, the later one in a fork', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const failed = await begin(stele, chatBody([user('q')]))
    await stele.recorder.settle(failed, { status: 'failed' })
    // Both continue the open end that the failed call left.
    const calls = await Promise.all([
      begin(stele, chatBody([user('q')])),
      begin(stele, chatBody([user('q')])),
    ])
    const settled = await Promise.all(
      calls.map((call, index) => settle(stele, call, completed(completionBody(`reply ${index}`)))),
    )
    expect(new Set(settled.map(({ conversationId }) => conversationId)).size).toBe(2)
    for (const [index, { conversationId, callId }] of settled.entries()) {
      expect(await historyOf(stele, conversationId)).toEqual([user('q'), assistant(`reply ${index}`)])
      expect((await reproduced(stele, callId)).response).toBe(completionBody(`reply ${index}`))
    }
    await expectGapFree(stele)
  })
}

/** Every conversation's own messages run without gap from where it begins to its next sequence number. */
async function expectGapFree(stele: Stele): Promise<void> {
  for (const { id, nextSeq } of await stele.conversations.list({ limit: 1_000 })) {
    const history = await stele.conversations.history('ada', id, nextSeq - 1)
    expect(history.map(row => row.seq)).toEqual(Array.from({ length: nextSeq }, (_, seq) => seq))
  }
}

async function emptyConversation(stele: Stele): Promise<string> {
  const id = 'conv_01h455vb4pex5vsknk084sn02q'
  const row = newConversationRow({ user_id: 'ada', id, next_seq: 0, created_at: 1 })
  await inBatch(stele, batch => batch.insert('conversations', [row]))
  return id
}
