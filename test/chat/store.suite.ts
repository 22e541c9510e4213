import { expect, test } from 'vitest'
import { json, stream } from '../gateway/upstream.ts'
import { chunk, openAiError } from '../gateway/wire.ts'
import { assistant, exchange, historyOf, system, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { ask, askAndStop, chatOnStore, compare, saying } from './backends.ts'

const silenceAfter = (...words: string[]) =>
  stream([chunk({ role: 'assistant', content: '' }), ...words.map(content => chunk({ content }))])

/** A stream that says something and then nothing more until it is stopped. */
const unending = (...words: string[]): ReturnType<typeof stream> => {
  return async reply => {
    reply.head(200, { 'content-type': 'text/event-stream' })
    await reply.write(chunk({ role: 'assistant', content: '' }))
    for (const content of words) await reply.write(chunk({ content }))
  }
}

const sent = (text: string): { role: string; content: string }[] =>
  (JSON.parse(text) as { messages: { role: string; content: string }[] }).messages

/** Chats straight on a store. */
export function chatOnStoreSuite(bed: Bed): void {
  test('a question is on record before the provider is asked, and its reply before it counts as complete', async () => {
    const { stele, upstream, chat } = await chatOnStore(bed)
    let before: unknown
    upstream.whenReceived(async () => {
      before = (await stele.calls.list()).map(({ status, userId }) => [status, userId])
    })
    const said: string[] = []
    const answer = await chat.ask('Who am I?', new AbortController().signal, text => said.push(text))
    expect(before).toEqual([['pending', 'ada']])
    expect(said.join('')).toBe('Hello Ada')
    expect(answer).toMatchObject({ status: 'completed', text: 'Hello Ada', usage: { inputTokens: 7 } })
    expect(await stele.calls.get('ada', answer.callId ?? '')).toMatchObject({
      status: 'completed',
      outputTokens: 2,
      conversationId: answer.thread.conversationId,
    })
    expect(await historyOf(stele, answer.thread.conversationId ?? '')).toEqual([
      user('Who am I?'),
      assistant('Hello Ada'),
    ])
  })

  test('prompts are compressed where the configuration says so, and the chat goes on in its own words', async () => {
    const { stele, chat, upstream } = await chatOnStore(bed, undefined, { compress: 'high' })
    const said = 'Could you please tell me the end of the story?'
    const answer = await ask(chat, said)
    await ask(chat, 'And the next one?')
    const contents = upstream.journal.map(({ text }) => sent(text).map(({ content }) => content))
    expect(contents).toEqual([
      ['Tell me end of story?'],
      ['Tell me end of story?', 'Hello Ada', 'And next one?'],
    ])
    expect(await historyOf(stele, answer.thread.conversationId ?? '')).toMatchObject([
      user(said),
      assistant('Hello Ada'),
      user('And the next one?'),
      assistant('Hello Ada'),
    ])
    const compared = await compare(chat, said, ['one', 'two'])
    await compared.choose(0)
    const calls = (await stele.calls.list()).reverse()
    expect(calls.map(({ compression }) => compression)).toEqual(Array.from({ length: 4 }, () => 'high/2'))
    const bodies = await Promise.all(calls.map(({ id }) => stele.calls.sentRequest('ada', id)))
    expect(bodies.map(String).sort()).toEqual(upstream.journal.map(({ text }) => text).sort())
  })

  test('a chat is one conversation that is found by its last use', async () => {
    const { stele, chat, another, backend, upstream } = await chatOnStore(bed)
    await ask(chat, 'one')
    await ask(chat, 'two')
    const other = another()
    // The same words as in the first chat are not the first chat.
    await ask(other, 'one')
    expect(await countOf(stele, 'conversations')).toBe(2)
    expect((await backend.sessions(5)).map(({ id, opening, messages }) => [id, opening, messages])).toEqual([
      [other.thread.sessionId, 'one', 2],
      [chat.thread.sessionId, 'one', 4],
    ])
    await ask(chat, 'three')
    expect((await backend.sessions(1))[0]?.id).toBe(chat.thread.sessionId)
    expect(sent(upstream.journal[3]?.text ?? '').map(({ content }) => content)).toEqual([
      'one',
      'Hello Ada',
      'two',
      'Hello Ada',
      'three',
    ])
    expect(await countOf(stele, 'messages')).toBe(8)
  })

  test('a conversation is resumed as it was, with its model and system prompt', async () => {
    const { chat, another, upstream } = await chatOnStore(bed)
    chat.setSystem('Be brief.')
    chat.model = 'test/other-model'
    await ask(chat, 'one')
    const later = another()
    await later.resume(chat.thread.sessionId ?? '')
    expect(later).toMatchObject({ system: 'Be brief.', model: 'test/other-model' })
    await ask(later, 'two')
    expect(later.thread).toEqual(chat.thread)
    expect(sent(upstream.journal[1]?.text ?? '')).toEqual([
      system('Be brief.'),
      user('one'),
      assistant('Hello Ada'),
      user('two'),
    ])
    await failure('conversation_not_found', later.resume('conv_00000000000000000000000000'))
  })

  test("a conversation that an application made is resumed and then among one's own; nobody else's is", async () => {
    const { stele, chat, backend } = await chatOnStore(bed)
    const { call } = await exchange(stele, [user('from elsewhere')], 'yes')
    const theirs = await exchange(stele, [user('private')], 'yes', { userId: 'bob' })
    await chat.resume(call.conversationId)
    await ask(chat, 'more')
    expect(chat.thread.conversationId).toBe(call.conversationId)
    expect((await backend.sessions(5)).map(({ id }) => id)).toEqual([call.conversationId])
    await failure('conversation_not_found', chat.resume(theirs.call.conversationId))
  })

  test('a reply that is stopped is kept as far as it came, and the conversation goes on after it', async () => {
    const { stele, chat, upstream } = await chatOnStore(bed, [unending('Once', ' upon'), saying('Yes')])
    const answer = await askAndStop(chat, 'Tell me a story')
    expect(answer).toMatchObject({ status: 'aborted', error: { code: 'client_closed_request' } })
    expect(answer.text).toMatch(/^Once/)
    expect(await (await upstream.received(0)).over).toBe(true)
    expect(await stele.calls.get('ada', answer.callId ?? '')).toMatchObject({ status: 'aborted' })
    const next = await ask(chat, 'Shorter')
    expect(next.thread).toEqual(answer.thread)
    expect(await historyOf(stele, next.thread.conversationId ?? '')).toEqual([
      user('Tell me a story'),
      assistant(answer.text),
      user('Shorter'),
      assistant('Yes'),
    ])
    expect(await countOf(stele, 'conversations')).toBe(1)
  })

  test('a reply that is stopped before it said anything leaves the question, and no fork', async () => {
    const stop = new AbortController()
    const empty: ReturnType<typeof stream> = async (reply, request) => {
      await unending()(reply, request)
      // Whether its beginning has arrived by then or not, there is nothing to keep.
      setTimeout(() => stop.abort(), 50)
    }
    const { stele, chat } = await chatOnStore(bed, [empty, saying('Yes')])
    const answer = await ask(chat, 'one', stop.signal)
    expect(answer).toMatchObject({ status: 'aborted', text: '', message: undefined })
    await ask(chat, 'two')
    expect(await historyOf(stele, chat.thread.conversationId ?? '')).toEqual([
      user('one'),
      user('two'),
      assistant('Yes'),
    ])
    expect(await countOf(stele, 'conversations')).toBe(1)
  })

  test('a failure is told in the words of the provider; the same question again is the same message', async () => {
    const refuse = json(openAiError('Your quota is used up.'), { status: 429 })
    const { stele, chat } = await chatOnStore(bed, [refuse, saying('Yes')])
    const answer = await ask(chat, 'one')
    expect(answer).toMatchObject({ status: 'failed', error: { code: 'provider_error' } })
    expect(answer.error?.message).toContain('Your quota is used up.')
    const [call] = await stele.calls.list()
    expect(call).toMatchObject({ status: 'failed', httpStatus: 429 })
    // The provider's words may quote the prompt: they are kept as content alone.
    expect(call?.errorMessage).not.toContain('quota')
    await ask(chat, 'one')
    expect(await historyOf(stele, chat.thread.conversationId ?? '')).toEqual([user('one'), assistant('Yes')])
    expect(await countOf(stele, 'conversations')).toBe(1)
    expect(await chat.stats()).toMatchObject({ calls: 2, errors: 1, outputTokens: 1 })
  })

  test('a stream that breaks off has failed; what came of it is with its call', async () => {
    const { stele, chat } = await chatOnStore(bed, [silenceAfter('Half')])
    const answer = await ask(chat, 'one')
    expect(answer).toMatchObject({
      status: 'failed',
      text: 'Half',
      message: undefined,
      error: { code: 'provider_stream_truncated' },
    })
    expect((await stele.calls.exactResponse('ada', answer.callId ?? ''))?.toString()).toContain('Half')
    expect(await historyOf(stele, chat.thread.conversationId ?? '')).toEqual([user('one')])
  })

  test('a provider that fails is asked again and then the next one, each attempt a call of one group', async () => {
    const { stele, upstream, chat } = await chatOnStore(
      bed,
      [json(openAiError('busy'), { status: 401 }), saying('From the second')],
      { models: { fast: { targets: ['test/a', 'test/b'] } } },
    )
    chat.model = 'fast'
    const answer = await ask(chat, 'one')
    expect(answer).toMatchObject({ status: 'completed', text: 'From the second' })
    const group = await stele.calls.group('ada', answer.callId ?? '')
    expect(group.map(call => [call.requestModel, call.status, call.routeMode])).toEqual([
      ['a', 'failed', undefined],
      ['b', 'completed', 'fallback'],
    ])
    expect(upstream.journal).toHaveLength(2)
    expect(await countOf(stele, 'messages')).toBe(2)
  })

  test('a reply that does not stream is taken too', async () => {
    const whole = {
      choices: [{ index: 0, message: { role: 'assistant', content: 'Whole' }, finish_reason: 'stop' }],
    }
    const { chat } = await chatOnStore(bed, [json(whole)])
    expect(await ask(chat, 'one')).toMatchObject({ status: 'completed', text: 'Whole' })
  })

  test('after a reset nothing is sent of what was said, and the conversation keeps its name', async () => {
    const { stele, upstream, chat, another, backend } = await chatOnStore(bed)
    chat.setSystem('Be brief.')
    await ask(chat, 'one')
    const { sessionId } = chat.thread
    chat.clear()
    await ask(chat, 'two')
    expect(chat.thread.sessionId).toBe(sessionId)
    expect(sent(upstream.journal[1]?.text ?? '')).toEqual([system('Be brief.'), user('two')])
    expect((await backend.sessions(5)).map(({ id }) => id)).toEqual([sessionId])
    const later = another()
    await later.resume(sessionId ?? '')
    expect(later.transcript.map(({ text }) => text)).toEqual([
      'Be brief.',
      'one',
      'Hello Ada',
      'Be brief.',
      'two',
      'Hello Ada',
    ])
    expect(later.contextLength).toBe(2)
    await ask(later, 'three')
    expect(later.thread).toEqual(chat.thread)
    expect(await later.stats()).toMatchObject({ calls: 3, inputTokens: 21, outputTokens: 6 })
    const rows = await rowsOf(stele, 'conversations')
    expect(rows.map(row => [row.session_id, row.parent_seq])).toEqual([
      [null, null],
      [sessionId, -1],
    ])
  })

  test('another system prompt is sent with all that was said, under the same name', async () => {
    const { upstream, chat, backend } = await chatOnStore(bed)
    await ask(chat, 'one')
    const { sessionId } = chat.thread
    chat.setSystem('Speak like a pirate.')
    await ask(chat, 'two')
    expect(sent(upstream.journal[1]?.text ?? '')).toEqual([
      system('Speak like a pirate.'),
      user('one'),
      assistant('Hello Ada'),
      user('two'),
    ])
    expect((await backend.sessions(5)).map(({ id, messages }) => [id, messages])).toEqual([[sessionId, 5]])
  })

  test('a conversation that went on elsewhere meanwhile is forked, under a name of its own', async () => {
    const { chat, another, backend, stele } = await chatOnStore(bed)
    await ask(chat, 'one')
    const other = another()
    await other.resume(chat.thread.sessionId ?? '')
    await ask(other, 'there')
    await ask(chat, 'here')
    expect(chat.thread.conversationId).not.toBe(other.thread.conversationId)
    expect((await backend.sessions(5)).map(({ id }) => id).sort()).toEqual(
      [other.thread.sessionId, chat.thread.sessionId].sort(),
    )
    await ask(chat, 'on')
    expect(await countOf(stele, 'conversations')).toBe(2)
  })

  test("what was said is found in one's own conversations, in nobody else's", async () => {
    const { stele, chat, backend } = await chatOnStore(bed, [saying('A stele is a stone.')])
    await exchange(stele, [user('my secret stone')], 'yes', { userId: 'bob' })
    await ask(chat, 'What is a stele?')
    const hits = await backend.search('stone', 5)
    expect(hits).toEqual([
      {
        conversationId: chat.thread.conversationId,
        seq: 1,
        role: 'assistant',
        text: 'A stele is a stone.',
        ranges: [[13, 18]],
      },
    ])
  })

  test('what was used today is told of this user alone', async () => {
    const { stele, chat, backend } = await chatOnStore(bed)
    expect(await backend.usageToday('model')).toMatchObject({
      total: { calls: 0, outputTokens: 0 },
      rows: [],
    })
    await exchange(stele, [user('other')], 'yes', { userId: 'bob' })
    await ask(chat, 'one')
    await ask(chat, 'two')
    const sums = {
      ...{ calls: 2, errors: 0, inputTokens: 14, outputTokens: 4 },
      ...{ costNanousd: 0, unpricedCalls: 2 },
    }
    const rows = (name: string) => ({ total: sums, rows: [{ name, ...sums }], isWhole: true })
    expect(await backend.usageToday('provider')).toEqual(rows('test'))
    expect(await backend.usageToday('key')).toEqual(rows(''))
    expect(await backend.usageToday('document_type')).toEqual(rows(''))
  })
}
