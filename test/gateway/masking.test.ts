import type OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { historyOf } from '../harness/chat.ts'
import { before, everythingStored, expectNone, hidden, inLogs, said, start } from './masking-start.ts'
import { placeholder, secrets } from './masking-upstream.ts'
import { eventsOf, lastResponse } from './responding.ts'
import { errorOf, onlyCall, recorded, startGateway } from './running.ts'
import { json, startUpstream, stream } from './upstream.ts'
import { answerEvents, questionOf } from './wire.ts'

const placeholderOnly = /\[[A-Z_]+_\d+\]/
const sentence = `Write to ${secrets.mail} or ${secrets.phone}, pay with ${secrets.card}, sign with ${secrets.key}, and keep [EMAIL_1].`

describe('before the provider', () => {
  test('it gets placeholders, its reply comes back with the values, and both are recorded as the client knows them', async () => {
    const { running, upstream } = await start(before)
    const body = JSON.stringify(questionOf(sentence))
    const reply = await running.post(body)
    expect(reply.status).toBe(200)
    const sent = upstream.journal[0]?.text ?? ''
    expectNone(sent)
    expect(sent).toContain(
      '[EMAIL_1] or [PHONE_1], pay with [CARD_1], sign with [PRIVATE_KEY_1], and keep [TEXT_1].',
    )
    const told = JSON.parse(reply.text) as OpenAI.ChatCompletion
    expect(told.choices[0]?.message.content).toBe(sentence)
    expect(told.usage).toEqual({ prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 })
    const { request, response } = await onlyCall(running)
    expect(request).toBe(body)
    expect(response).toBe(reply.text)
    expectNone(running.log())
  })

  test.each([{ stream: false }, { stream: true }])(
    'the official client sees no difference: %o',
    async ({ stream }) => {
      const ask = async (config: Record<string, unknown>, tools: boolean) => {
        const { running } = await start(config)
        const parameters = {
          ...(tools ? { tools: [{ type: 'function', function: { name: 'tell', parameters: {} } }] } : {}),
        }
        const body = { model: 'm', messages: [{ role: 'user', content: sentence }], ...parameters }
        if (!stream)
          return running
            .client()
            .chat.completions.create(body as OpenAI.ChatCompletionCreateParamsNonStreaming)
        const run = running
          .client()
          .chat.completions.stream({ ...body, stream_options: { include_usage: true } } as never)
        const final = await run.finalChatCompletion()
        return { ...final }
      }
      for (const tools of [false, true]) {
        const plain = await ask({}, tools)
        const masked = await ask(before, tools)
        if (tools) {
          // In the arguments of a tool the parrot quotes the texts itself; their meaning is what must be the same.
          const argumentsOf = (one: typeof plain) =>
            one.choices[0]?.message.tool_calls?.map(call =>
              'function' in call ? JSON.parse(call.function.arguments) : call,
            )
          expect(argumentsOf(masked)).toEqual(argumentsOf(plain))
          expect(argumentsOf(masked)).toEqual([{ said: sentence, quote: '"\n' }])
        } else expect(masked).toEqual(plain)
        expect(masked.usage).toEqual(plain.usage)
      }
    },
  )

  test('a stream is framed as ever, and its transcript is what the client got', async () => {
    const { running } = await start(before)
    const reply = await running.post(questionOf(sentence, { stream: true }))
    expect(reply.headers['content-type']).toMatch(/^text\/event-stream/)
    expect(reply.text.endsWith('data: [DONE]\n\n')).toBe(true)
    expect(reply.text.match(/finish_reason":"stop"/g)).toHaveLength(1)
    expect(reply.text).not.toContain('"usage":{')
    const { response } = await onlyCall(running)
    expect(response).toContain('"usage":{')
    expect(response?.replace(/data: [^\n]*"usage":\{[^\n]*\n\n/, '')).toBe(reply.text)
  })

  test('what could be a placeholder and is none is told when the text ends', async () => {
    const upstream = await startUpstream(stream(answerEvents(['see [', 'EMA'])))
    const running = await startGateway({ upstream, config: before })
    const reply = await running
      .client()
      .chat.completions.stream({ model: 'm', messages: [{ role: 'user', content: secrets.mail }] })
      .finalChatCompletion()
    expect(reply.choices[0]?.message.content).toBe('see [EMA')
  })

  test('an error that quotes the request quotes what the client sent', async () => {
    const upstream = await startUpstream((reply, request) => {
      const [message] = (JSON.parse(request.text) as { messages: { content: string }[] }).messages
      return json(
        {
          error: {
            message: `too rude: ${message?.content}`,
            type: 'invalid_request_error',
            param: null,
            code: null,
          },
        },
        { status: 400 },
      )(reply, request)
    })
    const running = await startGateway({ upstream, config: before })
    const reply = await running.post(questionOf(secrets.mail))
    expect(reply.status).toBe(400)
    expect(errorOf(reply).message).toBe(`too rude: ${secrets.mail}`)
  })

  test('other operations: completions, embeddings, moderations', async () => {
    const { running, upstream } = await start(before)
    const client = running.client()
    const done = await client.completions.create({ model: 'm', prompt: sentence })
    expect(done.choices[0]?.text).toBe(sentence)
    let streamed = ''
    for await (const one of await client.completions.create({ model: 'm', prompt: sentence, stream: true }))
      streamed += one.choices[0]?.text
    expect(streamed).toBe(sentence)
    await client.embeddings.create({ model: 'm', input: [sentence], encoding_format: 'float' })
    const moderated = await client.moderations.create({ model: 'm', input: sentence })
    expect(JSON.stringify(moderated)).toContain(JSON.stringify(sentence).slice(1, -1))
    for (const { text } of upstream.journal) expectNone(text)
  })

  test.each([{ responses: true }, { responses: false }])(
    'responses, of a provider that speaks them or not: %o',
    async provider => {
      const { running, upstream } = await start(before, { provider })
      const client = running.client()
      const first = await client.responses.create({
        model: 'm',
        input: sentence,
        instructions: `for ${secrets.mail}`,
      })
      expect(first.output_text).toContain(sentence)
      const events = await eventsOf(
        await client.responses.create({
          model: 'm',
          input: `and ${secrets.phone}`,
          previous_response_id: first.id,
          stream: true,
        }),
      )
      const deltas = events
        .flatMap(event => (event.type === 'response.output_text.delta' ? [event.delta] : []))
        .join('')
      expect(deltas).toBe(lastResponse(events).output_text ?? deltas)
      expect(deltas).toContain(sentence)
      expect(deltas).not.toMatch(/\[(EMAIL_2|PHONE_\d|TEXT_\d)\]/)
      for (const { text } of upstream.journal) expectNone(text)
      // The history is spelled out from the record, and numbered as it was.
      expect(upstream.journal[1]?.text).toContain('[EMAIL_1] or [PHONE_1]')
    },
  )

  test.each(['before-llm', 'in-logs'])('words in numbers of tokens are refused: %s', async place => {
    const { running, upstream } = await start()
    const headers = {
      authorization: `Bearer ${running.key}`,
      'content-type': 'application/json',
      [`x-mask-pii-${place}`]: 'true',
    }
    for (const [path, name, said] of [
      ['embeddings', 'input', [1, 2]],
      ['embeddings', 'input', [[1, 2]]],
      ['completions', 'prompt', ['words', [3]]],
    ] as const) {
      const body = JSON.stringify({ model: 'm', [name]: said })
      const reply = await running.send('POST', `/v1/${path}`, { headers, body })
      expect([reply.status, errorOf(reply).code, errorOf(reply).param]).toEqual([400, 'invalid_value', name])
    }
    expect(upstream.journal).toHaveLength(0)
    expect(await running.stele.calls.list()).toEqual([])
  })

  test('chats whose history is kept here', async () => {
    const { running, upstream } = await start({ ...before, chatModel: 'm' })
    const say = async (text: string) => {
      const reply = await running.send('POST', '/chat', {
        headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ user_text: text }),
      })
      return (JSON.parse(reply.text) as { reply: string }).reply
    }
    expect(await say(secrets.mail)).toBe(secrets.mail)
    expect(await say(secrets.phone)).toBe(`${secrets.mail} | ${secrets.mail} | ${secrets.phone}`)
    expect(
      upstream.journal.map(
        ({ text }) => (JSON.parse(text) as { messages: { content: string }[] }).messages.at(-1)?.content,
      ),
    ).toEqual(['[EMAIL_1]', '[PHONE_1]'])
  })

  test('the built-in echo answers as ever', async () => {
    const running = await startGateway({ config: before })
    const reply = await running
      .client()
      .chat.completions.stream({ model: 'echo', messages: [{ role: 'user', content: sentence }] })
      .finalChatCompletion()
    expect(reply.choices[0]?.message.content).toBe(sentence)
  })
})

describe('in storage', () => {
  test.each([{ ...inLogs }, { ...inLogs, ...before }])(
    'nothing of it is kept, the client gets everything, and turns thread: %o',
    async config => {
      const { running, upstream } = await start(config)
      const client = running.client()
      const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: sentence }]
      const first = await client.chat.completions.create({
        model: 'm',
        messages,
        user: 'ada',
        metadata: { mail: secrets.mail },
        store: true,
      })
      expect(first.choices[0]?.message.content).toBe(sentence)
      messages.push(
        { role: 'assistant', content: sentence },
        { role: 'user', content: `new ${secrets.mail}, bob@example.org` },
      )
      const second = await client.chat.completions
        .stream({ model: 'm', messages, metadata: { mail: secrets.mail } })
        .finalChatCompletion()
      expect(second.choices[0]?.message.content).toContain('bob@example.org')
      if (!('maskPiiBeforeLlm' in config)) expect(upstream.journal[0]?.text).toContain(secrets.mail)

      const [later, earlier] = await running.stele.calls.list()
      expect(later?.conversationId).toBe(earlier?.conversationId)
      const history = await historyOf(running.stele, later?.conversationId ?? '', 'ada')
      expect(history.map(one => JSON.stringify(one)).join()).toContain('new [EMAIL_1], [EMAIL_2]')
      expect(history).toHaveLength(4)
      const stored = await everythingStored(running)
      expectNone(stored, [...hidden, 'bob@example.org'])
      expectNone(running.log(), [...hidden, 'bob@example.org'])
      const { request } = await recorded(running, later?.id)
      expect((JSON.parse(request) as { messages: unknown[] }).messages).toHaveLength(3)
    },
  )

  test.each([{ responses: true }, { responses: false }])(
    'responses, what they go on from and what they end with: %o',
    async provider => {
      const { running, upstream } = await start({ ...inLogs, ...before }, { provider })
      const client = running.client()
      const first = await client.responses.create({
        model: 'm',
        input: secrets.mail,
        instructions: secrets.phone,
        metadata: { card: secrets.card },
      })
      expect(first.output_text).toContain(secrets.mail)
      expect(first.instructions).toBe(secrets.phone)
      const second = await client.responses.create({
        model: 'm',
        input: 'bob@example.org',
        previous_response_id: first.id,
      })
      // What was not kept is told as that, and its placeholder is not given to another.
      expect(second.output_text).toContain('[EMAIL 1 not kept]')
      expect(second.output_text).toMatch(/\| bob@example\.org$/)
      expect(second.output_text).not.toMatch(placeholderOnly)
      expect(upstream.journal[1]?.text).toContain('[EMAIL_2]')
      expectNone(await everythingStored(running), [...hidden, 'bob@example.org'])
    },
  )

  test('what clients add by themselves', async () => {
    const { running } = await start(inLogs)
    const client = running.client()
    const item = (content: string) => ({ type: 'message' as const, role: 'user' as const, content })
    const { id } = await client.conversations.create({
      metadata: { mail: secrets.mail },
      items: [item(secrets.mail)],
    })
    await client.conversations.update(id, { metadata: { card: secrets.card } })
    await client.conversations.items.create(id, { items: [item('bob@example.org')] })
    const kept = await historyOf(running.stele, id)
    // The second is another's, whose placeholder is therefore another.
    expect(JSON.stringify(kept)).toMatch(/\[EMAIL_1\].*\[EMAIL_2\]/)
    const completion = await client.chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: 'hi' }],
      store: true,
    })
    await client.chat.completions.update(completion.id, { metadata: { phone: secrets.phone } })
    expectNone(await everythingStored(running), [...hidden, 'bob@example.org'])
  })

  test('a reply is told again under its idempotency key', async () => {
    const { running } = await start(inLogs)
    for (const parameters of [{}, { stream: true }]) {
      const key = { 'idempotency-key': `once ${JSON.stringify(parameters)}` }
      const first = await running.post(questionOf(sentence, parameters), key)
      const again = await running.post(questionOf(sentence, parameters), key)
      expect(again.headers['idempotent-replayed']).toBe('true')
      expect(said(again.text)).toBe(said(first.text))
    }
    expectNone(await everythingStored(running))
  })

  test('replies that fail or break off', async () => {
    const upstream = await startUpstream(
      json({ error: { message: secrets.mail, type: 'x', param: null, code: null } }, { status: 400 }),
      stream(answerEvents([...secrets.mail]).slice(0, 20)),
    )
    const running = await startGateway({ upstream, config: inLogs })
    expect((await running.post(questionOf(secrets.mail))).text).toContain(secrets.mail)
    await running.post(questionOf('who?', { stream: true }))
    const stored = await everythingStored(running)
    expectNone(stored, [...hidden, 'lovelace'])
  })
})

describe('who demands it', () => {
  test('nobody: everything passes as it came', async () => {
    const { running, upstream } = await start()
    await running.post(questionOf(sentence))
    expect(upstream.journal[0]?.text).toContain(secrets.mail)
    expect((await onlyCall(running)).request).toContain(secrets.mail)
  })

  test('the request', async () => {
    const { running, upstream } = await start()
    await running.post(questionOf(sentence), { 'x-mask-pii-before-llm': 'true' })
    expectNone(upstream.journal[0]?.text ?? '')
    const reply = await running.post(questionOf(`${sentence}!`), { 'x-mask-pii-in-logs': '1' })
    expect(upstream.journal[1]?.text).toContain(secrets.mail)
    expectNone((await recorded(running, reply.headers['x-stele-call-id'])).request)
  })

  test('the key, and no request takes it back', async () => {
    const { running, upstream } = await start()
    const { secret } = await running.stele.apiKeys.create({
      userId: 'ada',
      masking: { beforeLlm: true, inStorage: true },
    })
    const headers = {
      authorization: `Bearer ${secret}`,
      'x-mask-pii-before-llm': 'false',
      'x-mask-pii-in-logs': 'off',
    }
    const reply = await running.post(questionOf(sentence), headers)
    expectNone(upstream.journal[0]?.text ?? '')
    expectNone((await recorded(running, reply.headers['x-stele-call-id'])).request)
    expect(said(reply.text)).toBe(sentence)
  })

  test('a header that says neither yes nor no is refused', async () => {
    const { running, upstream } = await start()
    const reply = await running.post(questionOf(sentence), { 'x-mask-pii-before-llm': 'maybe' })
    expect([reply.status, errorOf(reply).param]).toEqual([400, 'x-mask-pii-before-llm'])
    expect(upstream.journal).toHaveLength(0)
  })

  test('own patterns of the configuration', async () => {
    const { running, upstream } = await start({ ...before, masking: { patterns: { STAFF: 'EMP-\\d{6}' } } })
    const reply = await running.post(questionOf('I am EMP-123456.'))
    expect(upstream.journal[0]?.text).toContain('I am [STAFF_1].')
    expect(said(reply.text)).toBe('I am EMP-123456.')
  })
})

test('no placeholder is in anything that a client gets', async () => {
  const { running } = await start({ ...before, ...inLogs })
  const texts = []
  for (const parameters of [
    {},
    { stream: true },
    { tools: [{ type: 'function', function: { name: 'f' } }] },
    { stream: true, tools: [{ type: 'function', function: { name: 'f' } }] },
  ])
    texts.push((await running.post(questionOf(`${secrets.mail} ${secrets.key}`, parameters))).text)
  for (const text of texts) expect(text).not.toMatch(placeholder)
})
