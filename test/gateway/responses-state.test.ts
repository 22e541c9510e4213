import { expect, test } from 'vitest'
import { absentStored } from '../../src/store/contents.ts'
import { completion, historyOf } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { countOf, rowsOf, storedBytes } from '../harness/rows.ts'
import { FakeTiming } from './fake-timing.ts'
import { askedOf, eventsOf, expectResponse, lastResponse } from './responding.ts'
import { type Running, recorded, startGateway } from './running.ts'
import { json, silence, startUpstream, stream, type Upstream, type UpstreamRequest } from './upstream.ts'
import { answerEvents, openAiError } from './wire.ts'

const model = 'gpt-test'

const answerTo = ({ messages }: ReturnType<typeof askedOf>): string => `answer to ${messages.at(-1)?.content}`

/** Answers every question with what it was, as a stream when one is asked for. */
function startAnswering(): Promise<Upstream> {
  return startUpstream((reply, request) => {
    const asked = askedOf(request)
    const text = answerTo(asked)
    return asked['stream'] === true
      ? stream(answerEvents([text]))(reply, request)
      : json(completion(text))(reply, request)
  })
}

const saidIn = (request: UpstreamRequest | undefined): unknown[] =>
  request === undefined ? [] : askedOf(request).messages.map(({ content }) => content)

async function newConversation({ stele }: Running, userId = 'ada'): Promise<string> {
  const { conversationId } = await stele.saveInteraction({
    userId,
    model,
    messages: [{ role: 'user', content: 'Before' }],
    responseText: 'Earlier',
  })
  return conversationId ?? ''
}

describeEachDatabase('the state of responses', bed => {
  test('turns that name the response before are one conversation, each told with all before it', async () => {
    const upstream = await startAnswering()
    const running = await startGateway({ upstream, place: await bed.place() })
    const client = running.client()
    let previous_response_id: string | null = null as string | null
    const conversations = new Set<string | null>()
    for (let turn = 0; turn < 4; turn++) {
      const ask = { model, input: `question ${turn}`, instructions: `turn ${turn}`, previous_response_id }
      if (turn % 2 === 1) {
        const { data, response } = await client.responses.create({ ...ask, stream: true }).withResponse()
        conversations.add(response.headers.get('x-stele-conversation'))
        previous_response_id = lastResponse(await eventsOf(data)).id
      } else {
        const { data, response } = await client.responses.create(ask).withResponse()
        expect(data.previous_response_id).toBe(previous_response_id)
        conversations.add(response.headers.get('x-stele-conversation'))
        previous_response_id = data.id
      }
    }
    expect(conversations.size).toBe(1)
    expect(saidIn(upstream.journal[2])).toEqual([
      'turn 2',
      'question 0',
      'answer to question 0',
      'question 1',
      'answer to question 1',
      'question 2',
    ])
    // Instructions are told and no part of the conversation.
    const history = await historyOf(running.stele, [...conversations][0] ?? '')
    expect(history.map(({ role }) => role)).toEqual(Array(4).fill(['user', 'assistant']).flat())
    const calls = (await running.stele.calls.list()).toReversed()
    for (const [turn, { id }] of calls.entries())
      expect((await recorded(running, id)).request).toBe(upstream.journal[turn]?.text)
    expect(await countOf(running.stele, 'conversations')).toBe(1)
  })

  test('going on from an earlier response is a fork, and both go on', async () => {
    const upstream = await startAnswering()
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const first = await responses.create({ model, input: 'first' })
    const second = await responses.create({ model, input: 'second', previous_response_id: first.id })
    const other = await responses.create({ model, input: 'other', previous_response_id: first.id })
    const further = await responses.create({ model, input: 'further', previous_response_id: other.id })
    const third = await responses.create({ model, input: 'third', previous_response_id: second.id })
    expect(saidIn(upstream.journal[3])).toEqual([
      'first',
      'answer to first',
      'other',
      'answer to other',
      'further',
    ])
    expect(saidIn(upstream.journal[4])).toEqual([
      'first',
      'answer to first',
      'second',
      'answer to second',
      'third',
    ])
    const [main, fork] = await rowsOf(running.stele, 'conversations')
    expect(fork).toMatchObject({ parent_id: main?.id, parent_seq: 1, next_seq: 6 })
    expect(main).toMatchObject({ next_seq: 6 })
    expect(await countOf(running.stele, 'messages')).toBe(10)
    for (const { id, output_text } of [second, other, further, third])
      expect((await responses.retrieve(id)).output_text).toBe(output_text)
  })

  test('a turn that failed is asked again in its place; another one instead of it is a fork', async () => {
    const upstream = await startAnswering()
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const first = await responses.create({ model, input: 'one' })
    const ask = (input: string) => responses.create({ model, input, previous_response_id: first.id })
    const answer = upstream.answer
    answer(json(openAiError('busy'), { status: 500 }))
    for (let failure = 0; failure < 2; failure++)
      await expect(ask('two')).rejects.toMatchObject({ status: 500 })
    expect(await countOf(running.stele, 'messages')).toBe(3)
    answer((reply, request) => json(completion(answerTo(askedOf(request))))(reply, request))
    const second = await ask('two')
    expect(await countOf(running.stele, 'conversations')).toBe(1)
    expect(await countOf(running.stele, 'messages')).toBe(4)
    const third = await responses.create({ model, input: 'three', previous_response_id: second.id })
    expect(saidIn(upstream.journal.at(-1))).toEqual(['one', 'answer to one', 'two', 'answer to two', 'three'])
    const { call, request } = await recorded(running, `call_${third.id.slice(5)}`)
    expect(request).toBe(upstream.journal.at(-1)?.text)
    expect(await countOf(running.stele, 'conversations')).toBe(1)

    // What was answered is not asked again in its place, nor is another question.
    answer(json(openAiError('busy'), { status: 500 }))
    const more = { model, previous_response_id: third.id }
    await expect(responses.create({ ...more, input: 'four' })).rejects.toThrow()
    answer((reply, request) => json(completion(answerTo(askedOf(request))))(reply, request))
    const other = await responses.create({ ...more, input: 'five' }).withResponse()
    expect(other.response.headers.get('x-stele-conversation')).not.toBe(call.conversationId)
    expect(saidIn(upstream.journal.at(-1)).slice(-2)).toEqual(['answer to three', 'five'])
    const again = await ask('two')
    expect(again.id).not.toBe(second.id)
    expect(await countOf(running.stele, 'conversations')).toBe(3)
  })

  test('a turn that is still under way is not taken for a failed one', async () => {
    const upstream = await startAnswering()
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const first = await responses.create({ model, input: 'one' })
    const ask = { model, input: 'two', previous_response_id: first.id }
    upstream.answer(silence, json(completion('answered')))
    const waiting = await responses.create({ ...ask, background: true })
    await upstream.received(1)
    const { response } = await responses.create(ask).withResponse()
    const { call } = await recorded(running, `call_${first.id.slice(5)}`)
    expect(response.headers.get('x-stele-conversation')).not.toBe(call.conversationId)
    await responses.cancel(waiting.id)
  })

  test('a named conversation is continued at its end, whoever continued it last', async () => {
    const upstream = await startAnswering()
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const conversation = await newConversation(running)
    const one = expectResponse(await responses.create({ model, input: 'one', conversation }))
    expect(one.conversation).toEqual({ id: conversation })
    await responses.create({ model, input: 'two', conversation: { id: conversation } })
    const events = await eventsOf(
      await responses.create({ model, input: 'three', conversation, stream: true }),
    )
    expect(lastResponse(events).conversation).toEqual({ id: conversation })
    expect(saidIn(upstream.journal[2])).toEqual([
      'Before',
      'Earlier',
      'one',
      'answer to one',
      'two',
      'answer to two',
      'three',
    ])
    expect(await historyOf(running.stele, conversation)).toHaveLength(8)
    expect(await countOf(running.stele, 'conversations')).toBe(1)
  })

  test('a conversation is continued by one request at a time', async () => {
    const upstream = await startUpstream(silence, json(completion('later')))
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const conversation = await newConversation(running)
    const leaving = new AbortController()
    const first = responses
      .create({ model, input: 'slow', conversation }, { signal: leaving.signal })
      .catch(() => undefined)
    await upstream.received()
    const second = responses.create({ model, input: 'quick', conversation })
    await expect(second).rejects.toMatchObject({ status: 409, code: 'conversation_locked' })
    leaving.abort()
    await first
    await expect.poll(() => running.gateway.state.underWay.size).toBe(0)
    // What was asked in vain is not told again, and stands in nobody's way.
    expect((await responses.create({ model, input: 'again', conversation })).output_text).toBe('later')
    expect(saidIn(upstream.journal[1])).toEqual(['Before', 'Earlier', 'again'])
    await responses.create({ model, input: 'more', conversation })
    expect(saidIn(upstream.journal[2])).toEqual(['Before', 'Earlier', 'again', 'later', 'more'])
    expect(await countOf(running.stele, 'conversations')).toBe(1)
    for (const { id } of (await running.stele.calls.list()).slice(0, 2)) {
      const { call, request } = await recorded(running, id)
      expect(call.status).toBe('completed')
      expect(upstream.journal.map(({ text }) => text)).toContain(request)
    }
  })

  test('requests that race to continue a conversation never fork it', async () => {
    const upstream = await startAnswering()
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const conversation = await newConversation(running)
    const raced = await Promise.allSettled(
      Array.from({ length: 6 }, (_, index) =>
        responses.create({ model, input: `racer ${index}`, conversation }),
      ),
    )
    const won = raced.filter(({ status }) => status === 'fulfilled')
    expect(won.length).toBeGreaterThan(0)
    for (const lost of raced.filter(one => one.status === 'rejected'))
      expect(lost.reason).toMatchObject({ status: 409, code: 'conversation_locked' })
    expect(await countOf(running.stele, 'conversations')).toBe(1)
    expect(await historyOf(running.stele, conversation)).toHaveLength(2 + 2 * won.length)
  })

  test('deleted messages are not told again; what was sent is still reproduced, and comes after them', async () => {
    const upstream = await startAnswering()
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const conversation = await newConversation(running)
    const secret = await responses.create({ model, input: 'a secret', conversation })
    await running.stele.database.kysely
      .updateTable('messages')
      .set({ deleted_at: 1 })
      .where('conversation_id', '=', conversation)
      .where('seq', '>=', 2)
      .execute()
    const { response } = await responses.create({ model, input: 'next', conversation }).withResponse()
    await responses.create({ model, input: 'and next', conversation })
    await responses.create({ model, input: 'from there', previous_response_id: secret.id })
    expect(saidIn(upstream.journal[1])).toEqual(['Before', 'Earlier', 'next'])
    expect(saidIn(upstream.journal[2])).toEqual(['Before', 'Earlier', 'next', 'answer to next', 'and next'])
    expect(saidIn(upstream.journal[3])).toEqual(['Before', 'Earlier', 'from there'])
    const { request } = await recorded(running, response.headers.get('x-stele-call-id'))
    expect(request).toBe(upstream.journal[1]?.text)
    const rows = await rowsOf(running.stele, 'messages')
    expect(rows.filter(row => row.conversation_id === conversation).map(({ seq }) => seq)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7,
    ])
  })

  test('a retry of a turn that goes on adds nothing to its conversation', async () => {
    const upstream = await startUpstream(
      json(completion('one')),
      json(openAiError('busy'), { status: 500 }),
      json(openAiError('busy'), { status: 500 }),
      json(completion('two')),
    )
    const running = await startGateway({
      upstream,
      place: await bed.place(),
      provider: { retries: 2 },
      timing: new FakeTiming(),
    })
    const { responses } = running.client()
    const first = await responses.create({ model, input: 'q1', instructions: 'x' })
    const second = await responses.create({
      model,
      input: 'q2',
      instructions: 'x',
      previous_response_id: first.id,
    })
    expect(second.output_text).toBe('two')
    expect(await countOf(running.stele, 'messages')).toBe(4)
    expect(await countOf(running.stele, 'conversations')).toBe(1)
    expect(await countOf(running.stele, 'responses')).toBe(2)
    for (const [index, { id }] of (await running.stele.calls.list()).toReversed().entries())
      expect((await recorded(running, id)).request).toBe(upstream.journal[index]?.text)
    const usage = await rowsOf(running.stele, 'usage_daily')
    expect(usage.reduce((sum, { output_tokens }) => sum + output_tokens, 0)).toBe(10)
  })
})

test('a client that sends its whole history again goes on in the same conversation', async () => {
  const upstream = await startAnswering()
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const first = await responses.create({ model, input: 'q1' })
  await responses.create({
    model,
    input: [{ role: 'user', content: 'q1' }, ...first.output, { role: 'user', content: 'q2' }] as never,
  })
  expect(await countOf(running.stele, 'conversations')).toBe(1)
  expect(await countOf(running.stele, 'messages')).toBe(4)
  expect(saidIn(upstream.journal[1])).toEqual(['q1', 'answer to q1', 'q2'])
})

test('a conversation that is unknown or of somebody else is refused, and so is naming both', async () => {
  const running = await startGateway()
  const { responses } = running.client()
  const others = await newConversation(running, 'bob')
  for (const conversation of ['conv_01h455vb4pex5vsknk084sn02q', 'x', '', others]) {
    const refused = responses.create({ model: 'echo', input: 'x', conversation })
    await expect(refused).rejects.toMatchObject({
      status: 404,
      code: 'conversation_not_found',
      param: 'conversation',
    })
  }
  const { id } = await responses.create({ model: 'echo', input: 'x' })
  const both = responses.create({
    model: 'echo',
    input: 'x',
    conversation: others,
    previous_response_id: id,
  })
  await expect(both).rejects.toMatchObject({ status: 400, param: 'previous_response_id' })
  expect(await countOf(running.stele, 'llm_requests')).toBe(2)
})

test('what was not kept of a conversation is not told again', async () => {
  const upstream = await startAnswering()
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const conversation = await newConversation(running)
  await responses.create({ model, input: 'unkept', conversation })
  await running.stele.database.kysely
    .updateTable('messages')
    .set({ content: absentStored() })
    .where('seq', '>=', 2)
    .execute()
  await responses.create({ model, input: 'next', conversation })
  expect(saidIn(upstream.journal[1])).toEqual(['Before', 'Earlier', 'next'])
})

test('a conversation of T turns costs T rows and bytes, not T²', async () => {
  const upstream = await startAnswering()
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const grow = async (from: string | null, turns: number): Promise<string | null> => {
    let previous_response_id = from
    for (let turn = 0; turn < turns; turn++)
      previous_response_id = (
        await responses.create({
          model,
          input: `a question that says something ${turn % 10}`,
          previous_response_id,
        })
      ).id
    return previous_response_id
  }
  const bytes = async (): Promise<number> => {
    const rows = await rowsOf(running.stele, 'responses')
    const own = rows.reduce((sum, row) => sum + row.body.byteLength + row.input.byteLength, 0)
    return own + (await storedBytes(running.stele))
  }
  const third = await grow(null, 10)
  const early = await bytes()
  await grow(third, 10)
  const late = await bytes()
  expect(late / early).toBeLessThan(2.05)
  expect(await countOf(running.stele, 'messages')).toBe(40)
  expect(await countOf(running.stele, 'responses')).toBe(20)
})

test('reading a response is no call: nothing is billed again', async () => {
  const upstream = await startAnswering()
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const { id } = await responses.create({ model, input: 'x' })
  const before = [await rowsOf(running.stele, 'usage_daily'), await countOf(running.stele, 'llm_requests')]
  for (let look = 0; look < 3; look++) {
    await responses.retrieve(id)
    await eventsOf(await responses.retrieve(id, { stream: true }))
    await responses.inputItems.list(id)
    await responses.inputTokens.count({ model, input: 'x', previous_response_id: id })
  }
  await responses.delete(id)
  expect([await rowsOf(running.stele, 'usage_daily'), await countOf(running.stele, 'llm_requests')]).toEqual(
    before,
  )
  expect(upstream.journal).toHaveLength(1)
})
