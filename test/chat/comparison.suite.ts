import { expect, test } from 'vitest'
import { Chat } from '../../src/chat/chat.ts'
import { StoreBackend } from '../../src/chat/store-backend.ts'
import { resolveConfig } from '../../src/config.ts'
import { createProviders } from '../../src/providers/registry.ts'
import type { Answer } from '../gateway/upstream.ts'
import { json } from '../gateway/upstream.ts'
import { openAiError } from '../gateway/wire.ts'
import { assistant, historyOf, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'
import { ask, chatOnStore, compare, saying } from './backends.ts'

/** Answers with the name of the model that is asked. */
const byName: Answer = (reply, request) => {
  const { model } = JSON.parse(request.text) as { model: string }
  return saying(`I am ${model}`)(reply, request)
}

/** One question to several models. */
export function comparisonSuite(bed: Bed): void {
  test('a comparison makes N requests and N replies of one group, and one answer in the conversation', async () => {
    const { stele, upstream, chat } = await chatOnStore(bed, [byName])
    await ask(chat, 'Hello')
    let before: unknown
    upstream.whenReceived(async () => {
      before ??= (await stele.calls.list()).filter(({ status }) => status === 'pending').length
    })
    const said = ['', '']
    const comparison = await chat.compare('Who?', ['a', 'b'], new AbortController().signal, (index, text) => {
      said[index] += text
    })
    expect(before).toBe(2)
    expect(said).toEqual(['I am a', 'I am b'])
    // Nothing is settled before one is taken.
    expect(await countOf(stele, 'llm_responses')).toBe(1)
    await comparison.choose(1)

    const conversationId = chat.thread.conversationId ?? ''
    expect(await historyOf(stele, conversationId)).toEqual([
      user('Hello'),
      assistant('I am gpt-test'),
      user('Who?'),
      assistant('I am b'),
    ])
    const group = await stele.calls.group('ada', comparison.answers[1]?.callId ?? '')
    expect(group.map(call => [call.requestModel, call.routeMode, call.status])).toEqual([
      ['a', 'compare', 'completed'],
      ['b', 'compare', 'completed'],
    ])
    // The reply that was not taken stays readable with its call.
    expect((await stele.calls.exactResponse('ada', group[0]?.id ?? ''))?.toString()).toContain('I am a')
    await ask(chat, 'Go on')
    expect(chat.thread.conversationId).toBe(conversationId)
    expect(await countOf(stele, 'conversations')).toBe(1)
    expect(await chat.stats()).toMatchObject({ calls: 4, errors: 0 })
  })

  test('with none taken the question stays, and the next one follows it', async () => {
    const { stele, chat } = await chatOnStore(bed, [byName])
    const { choose } = await compare(chat, 'Who?', ['a', 'b'])
    await choose(undefined)
    await ask(chat, 'Never mind')
    expect(await historyOf(stele, chat.thread.conversationId ?? '')).toEqual([
      user('Who?'),
      user('Never mind'),
      assistant('I am gpt-test'),
    ])
  })

  test('a model that fails does not keep the others from answering', async () => {
    const failing: Answer = (reply, request) =>
      (request.text.includes('"model":"a"') ? json(openAiError('no'), { status: 500 }) : byName)(
        reply,
        request,
      )
    const { stele, chat } = await chatOnStore(bed, [failing])
    const { answers, choose } = await compare(chat, 'Who?', ['a', 'b'])
    expect(answers.map(({ status, text }) => [status, text])).toEqual([
      ['failed', ''],
      ['completed', 'I am b'],
    ])
    await choose(1)
    const group = await stele.calls.group('ada', answers[0]?.callId ?? '')
    expect(group.map(({ status, errorCode }) => [status, errorCode])).toEqual([
      ['failed', 'provider_error'],
      ['completed', undefined],
    ])
  })

  test('a model that nobody serves is refused before anybody is asked', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const providers = createProviders(resolveConfig({}, {}), stele)
    const backend = new StoreBackend({ stele, providers, userId: 'ada', replyLimit: 1_000 })
    const chat = new Chat({ backend, model: 'echo' })
    await failure('model_not_found', compare(chat, 'Who?', ['echo', 'nobody']))
    chat.model = 'nobody'
    await failure('model_not_found', ask(chat, 'Who?'))
    expect(await countOf(stele, 'llm_requests')).toBe(0)
    expect(await countOf(stele, 'conversations')).toBe(0)
    expect(chat.contextLength).toBe(0)
  })
}
