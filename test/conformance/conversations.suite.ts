import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import { assistant, exchange, historyOf, user, type WireMessage } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

/** Reading conversations and their messages. */
export function conversationsSuite(bed: Bed): void {
  test('conversations are listed newest first, page by page, each once', async () => {
    const stele = await (await bed.place()).stele()
    const made: string[] = []
    for (let index = 0; index < 7; index++)
      made.push((await exchange(stele, [user(`q${index}`)], 'a')).call.conversationId)
    const found: string[] = []
    for (let before: string | undefined; ; before = found.at(-1)) {
      const page = await stele.conversations.list({ userId: 'ada', limit: 3, before })
      expect(page.length).toBeLessThanOrEqual(3)
      if (page.length === 0) break
      found.push(...page.map(conversation => conversation.id))
    }
    expect(found).toEqual(made.toReversed())
  })

  test('a list holds the conversations of its user alone, or of everyone', async () => {
    const stele = await (await bed.place()).stele()
    const ada = await exchange(stele, [user('q')], 'a', { userId: 'ada' })
    const bob = await exchange(stele, [user('q')], 'a', { userId: 'bob' })
    const ids = async (userId?: string): Promise<string[]> =>
      (await stele.conversations.list(userId === undefined ? {} : { userId })).map(({ id }) => id)
    expect(await ids('ada')).toEqual([ada.call.conversationId])
    expect(await ids('bob')).toEqual([bob.call.conversationId])
    expect(await ids('eve')).toEqual([])
    expect(await ids()).toEqual([bob.call.conversationId, ada.call.conversationId])
  })

  test('a conversation is read by its owner and by nobody else', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    expect(await stele.conversations.get('ada', call.conversationId)).toMatchObject({
      id: call.conversationId,
      userId: 'ada',
      status: 'active',
      nextSeq: 2,
      parentId: undefined,
      parentSeq: undefined,
      title: undefined,
    })
    expect(await stele.conversations.get('bob', call.conversationId)).toBeUndefined()
    const asBob = stele.messages.list({ userId: 'bob', conversationId: call.conversationId })
    await failure('conversation_not_found', asBob)
  })

  test('messages tell who said them, in which call, with which model', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    const [question, answer] = await stele.messages.list({
      userId: 'ada',
      conversationId: call.conversationId,
    })
    expect(question).toMatchObject({
      seq: 0,
      role: 'user',
      raw: '{"role":"user","content":"q"}',
      model: undefined,
      callId: call.callId,
    })
    expect(answer).toMatchObject({ seq: 1, role: 'assistant', model: 'test-model-2026', callId: call.callId })
    expect(JSON.parse(answer?.raw ?? '')).toEqual({ role: 'assistant', content: 'a' })
  })

  test('messages come newest page first, oldest message first, and pages meet without gap or overlap', async () => {
    const stele = await (await bed.place()).stele()
    const { conversationId, history } = await talk(stele, 6)
    const seqs = await pagedSeqs(stele, conversationId, 5)
    expect(seqs).toEqual(history.map((_, index) => index))
  })

  test('the history of a fork of a fork is whole, in order, and pages across the forks', async () => {
    const stele = await (await bed.place()).stele()
    const { history } = await talk(stele, 4)
    const edited = [...history.slice(0, 4), user('edited')]
    const first = await exchange(stele, edited, 'to the edit')
    const further = [...edited, assistant('to the edit'), user('more')]
    await exchange(stele, further, 'of the same')
    const again = [...edited, assistant('to the edit'), user('other')]
    const second = await exchange(stele, again, 'to the other')

    expect(second.call.conversationId).not.toBe(first.call.conversationId)
    expect(await historyOf(stele, second.settled.conversationId)).toEqual([
      ...again,
      assistant('to the other'),
    ])
    expect(await stele.conversations.get('ada', second.call.conversationId)).toMatchObject({
      parentId: first.call.conversationId,
      parentSeq: 5,
      nextSeq: 8,
    })
    for (const size of [1, 2, 3, 5, 50]) {
      expect(await pagedSeqs(stele, second.call.conversationId, size)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    }
  })

  test('a fork does not change what it forked from', async () => {
    const stele = await (await bed.place()).stele()
    const { conversationId, history } = await talk(stele, 3)
    await exchange(stele, [...history.slice(0, 2), user('another way')], 'b')
    expect(await historyOf(stele, conversationId)).toEqual(history)
    expect(await stele.conversations.get('ada', conversationId)).toMatchObject({ nextSeq: 6 })
  })

  test('an unknown conversation is undefined', async () => {
    const stele = await (await bed.place()).stele()
    expect(await stele.conversations.get('ada', 'conv_01h455vb4pex5vsknk084sn02q')).toBeUndefined()
  })
}

/** A linear talk of some turns; the history includes the last answer. */
async function talk(
  stele: Stele,
  turns: number,
): Promise<{ conversationId: string; history: WireMessage[] }> {
  const history: WireMessage[] = []
  let conversationId = ''
  for (let turn = 0; turn < turns; turn++) {
    history.push(user(`question ${turn}`))
    const { settled } = await exchange(stele, history, `answer ${turn}`)
    history.push(assistant(`answer ${turn}`))
    conversationId = settled.conversationId
  }
  return { conversationId, history }
}

async function pagedSeqs(stele: Stele, conversationId: string, limit: number): Promise<number[]> {
  const seqs: number[] = []
  for (let before: number | undefined; ; before = seqs[0]) {
    const page = await stele.messages.list({ userId: 'ada', conversationId, limit, before })
    if (page.length === 0) return seqs
    expect(page.length).toBeLessThanOrEqual(limit)
    seqs.unshift(...page.map(message => message.seq))
  }
}
