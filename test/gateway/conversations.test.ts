import type OpenAI from 'openai'
import { expect, test } from 'vitest'
import { completion, historyOf } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { recorded, startGateway } from './running.ts'
import { json, startUpstream, stream, type UpstreamRequest } from './upstream.ts'
import { answerEvents, chunk, done } from './wire.ts'

type Messages = OpenAI.ChatCompletionMessageParam[]

/** How an application carries the reply into the next turn. */
const habits: Record<string, (message: OpenAI.ChatCompletionMessage) => Messages[number]> = {
  'the whole message': message => message,
  'role and content alone': ({ content }) => ({ role: 'assistant', content }),
}

const answerTo = ({ text }: UpstreamRequest): string => {
  const { messages } = JSON.parse(text) as { messages: { content: string }[] }
  return `answer to ${messages.at(-1)?.content}`
}

describeEachDatabase('conversations over HTTP', bed => {
  test.each(Object.entries(habits))(
    'turns of the official client that resend %s are one conversation',
    async (_, resend) => {
      const upstream = await startUpstream((reply, request) =>
        json(completion(answerTo(request)))(reply, request),
      )
      const running = await startGateway({ upstream, place: await bed.place() })
      const client = running.client()
      const messages: Messages = [{ role: 'system', content: 'Be brief.' }]
      const ids = new Set<string | null>()
      const calls: (string | null)[] = []
      for (let turn = 0; turn < 4; turn++) {
        messages.push({ role: 'user', content: `question ${turn}` })
        const { data, response } = await client.chat.completions
          .create({ model: 'gpt-test', messages })
          .withResponse()
        ids.add(response.headers.get('x-stele-conversation'))
        calls.push(response.headers.get('x-stele-call-id'))
        if (data.choices[0]) messages.push(resend(data.choices[0].message))
      }
      expect([...ids]).toHaveLength(1)
      const history = await historyOf(running.stele, [...ids][0] ?? '')
      expect(history.map(({ role }) => role)).toEqual([
        'system',
        ...Array(4).fill(['user', 'assistant']).flat(),
      ])
      expect(history.map(({ content }) => content)).toEqual(messages.map(({ content }) => content))
      for (const [turn, id] of calls.entries()) {
        expect((await recorded(running, id)).request).toBe(upstream.journal[turn]?.text)
      }
    },
  )

  test('a streamed turn, a tool call and its result go on in the same conversation', async () => {
    const toolCall = {
      id: 'call_a',
      type: 'function' as const,
      function: { name: 'weather', arguments: '{"city":"Bern"}' },
    }
    const upstream = await startUpstream(
      stream([
        chunk({ role: 'assistant', content: null }),
        chunk({ tool_calls: [{ index: 0, ...toolCall }] }),
        chunk({}, { finish: 'tool_calls' }),
        done,
      ]),
      stream(answerEvents(['Sun', 'ny.'])),
      json(completion('You are welcome.')),
    )
    const running = await startGateway({ upstream, place: await bed.place() })
    const client = running.client()
    const messages: Messages = [{ role: 'user', content: 'Weather in Bern?' }]
    const first = await client.chat.completions.stream({ model: 'gpt-test', messages }).finalMessage()
    messages.push(first, { role: 'tool', tool_call_id: 'call_a', content: '21 degrees' })
    messages.push(await client.chat.completions.stream({ model: 'gpt-test', messages }).finalMessage(), {
      role: 'user',
      content: 'Thanks',
    })
    await client.chat.completions.create({ model: 'gpt-test', messages })
    const [conversation, ...others] = await running.stele.conversations.list({ userId: 'ada' })
    expect(others).toEqual([])
    const history = await historyOf(running.stele, conversation?.id ?? '')
    expect(history.map(({ role }) => role)).toEqual([
      'user',
      'assistant',
      'tool',
      'assistant',
      'user',
      'assistant',
    ])
  })

  test('another continuation is a fork, and the reply says where it went', async () => {
    const upstream = await startUpstream((reply, request) =>
      json(completion(answerTo(request)))(reply, request),
    )
    const running = await startGateway({ upstream, place: await bed.place() })
    const start = [
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'answer to one' },
    ]
    const ask = async (messages: object[]) =>
      (await running.post({ model: 'gpt-test', messages })).headers['x-stele-conversation']
    const first = await ask(start.slice(0, 1))
    expect(await ask([...start, { role: 'user', content: 'two' }])).toBe(first)
    const fork = await ask([...start, { role: 'user', content: 'another two' }])
    expect(fork).not.toBe(first)
    expect(await running.stele.conversations.get('ada', String(fork))).toMatchObject({
      parentId: first,
      parentSeq: 1,
    })
  })

  test('a client may name which of two conversations with the same words it continues', async () => {
    const upstream = await startUpstream(json(completion('ok')))
    const running = await startGateway({ upstream, place: await bed.place() })
    const ask = async (messages: object[], headers = {}) =>
      String((await running.post({ model: 'gpt-test', messages }, headers)).headers['x-stele-conversation'])
    const hello = [{ role: 'user', content: 'hello' }]
    const same = [await ask(hello), await ask(hello)]
    expect(same[0]).not.toBe(same[1])
    const next = [...hello, { role: 'assistant', content: 'ok' }, { role: 'user', content: 'and now?' }]
    for (const named of same) expect(await ask(next, { 'x-stele-conversation': named })).toBe(named)
  })

  test('what one user said never joins the conversation of another', async () => {
    const upstream = await startUpstream(json(completion('ok')))
    const running = await startGateway({ upstream, place: await bed.place() })
    const service = await running.newKey('app', 'service')
    const ask = (user: string) =>
      running.post(
        { model: 'gpt-test', messages: [{ role: 'user', content: 'same words' }], user },
        { authorization: `Bearer ${service}` },
      )
    const [ada, bob] = [await ask('ada'), await ask('bob')]
    expect(ada.headers['x-stele-conversation']).not.toBe(bob.headers['x-stele-conversation'])
    const call = await recorded(running, bob.headers['x-stele-call-id'])
    expect(call.call.userId).toBe('bob')
    const intruder = await running.post(
      { model: 'gpt-test', messages: [{ role: 'user', content: 'mine' }], user: 'bob' },
      {
        authorization: `Bearer ${service}`,
        'x-stele-conversation': String(ada.headers['x-stele-conversation']),
      },
    )
    expect(intruder.status).toBe(404)
    expect(upstream.journal).toHaveLength(2)
  })
})
