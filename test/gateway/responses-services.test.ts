import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import {
  askedOf,
  eventsOf,
  expectResponse,
  lastResponse,
  type Response,
  type ResponseEvent,
  weather,
} from './responding.ts'
import { recorded, startGateway } from './running.ts'
import { json, startUpstream, stream } from './upstream.ts'
import { chunk, done, event, openAiError } from './wire.ts'

/** What services that speak chat completions do otherwise than OpenAI does. */

const model = 'gpt-test'

const called = (id: string, args: string, more: object = {}) => ({
  ...more,
  id,
  type: 'function',
  function: { name: `tool_${id}`, arguments: args },
})

test.each([
  ['all the same index', [[called('a', '{"n":1}', { index: 0 })], [called('b', '{"n":2}', { index: 0 })]]],
  ['no index', [[called('a', '{"n":1}')], [called('b', '{"n":2}')]]],
  [
    'no index, and deal them out in pieces',
    [[called('a', '{"n"')], [{ function: { arguments: ':1}' } }], [called('b', '{"n":2}')]],
  ],
  [
    'one that is taken by then',
    [
      [called('a', '{"n":1}', { index: 0 })],
      [called('b', '{"n":', { index: 0 })],
      [{ index: 0, function: { arguments: '2}' } }],
      [called('c', '{}', { index: 1 })],
    ],
  ],
])('calls of tools stay apart with services that give them %s', async (_, deltas) => {
  const upstream = await startUpstream(
    stream([...deltas.map(tool_calls => chunk({ tool_calls })), chunk({}, { finish: 'tool_calls' }), done]),
    json(completion('Done.')),
  )
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const { id, output } = lastResponse(
    await eventsOf(await responses.create({ model, input: 'x', tools: [weather], stream: true })),
  )
  expect(output.slice(0, 2)).toMatchObject([
    { call_id: 'a', name: 'tool_a', arguments: '{"n":1}' },
    { call_id: 'b', name: 'tool_b', arguments: '{"n":2}' },
  ])
  const outputs = output.flatMap(item =>
    item.type === 'function_call'
      ? [{ type: 'function_call_output' as const, call_id: item.call_id, output: 'ok' }]
      : [],
  )
  await responses.create({ model, previous_response_id: id, input: outputs })
  // The message that is on record and told again holds the same calls.
  const told = askedOf(upstream.journal[1] as never).messages[1]
  expect(told?.tool_calls).toHaveLength(output.length)
  expect(told?.tool_calls?.slice(0, 2)).toEqual([called('a', '{"n":1}'), called('b', '{"n":2}')])
})

test.each(['reasoning_content', 'reasoning'])(
  'what a model thought is an item of its own (%s)',
  async name => {
    const upstream = await startUpstream(
      stream([
        chunk({ role: 'assistant', [name]: 'Let me ' }),
        chunk({ [name]: 'see.' }),
        chunk({ content: 'Four.' }),
        chunk({}, { finish: 'stop' }),
        done,
      ]),
      json(completion('Four.', { message: { [name]: 'Let me see.' } })),
      json(completion('Five.')),
    )
    const running = await startGateway({ upstream })
    const { responses } = running.client()
    const expected = [
      { type: 'reasoning', content: [{ type: 'reasoning_text', text: 'Let me see.' }], summary: [] },
      { type: 'message', content: [{ text: 'Four.' }] },
    ]
    const events = await eventsOf(await responses.create({ model, input: 'Two and two?', stream: true }))
    const thought = events.filter(({ type }) => type === 'response.reasoning_text.delta')
    expect(thought).toMatchObject([{ delta: 'Let me ' }, { delta: 'see.' }])
    expect(lastResponse(events).output).toMatchObject(expected)
    const whole = expectResponse(await responses.create({ model, input: 'Two and two?' }))
    expect(whole.output).toMatchObject(expected)
    // The client's own helper takes the events in.
    const again = responses.stream({ response_id: lastResponse(events).id })
    expect((await again.finalResponse()).output).toMatchObject(expected)
    const input = [...whole.output, { role: 'user' as const, content: 'And one?' }]
    await responses.create({ model, input: input as never })
    expect(askedOf(upstream.journal[2] as never).messages).toEqual([
      { role: 'assistant', content: 'Four.' },
      { role: 'user', content: 'And one?' },
    ])
  },
)

test('content and arguments may come as what they are the text of', async () => {
  const parts = [
    { type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] },
    { type: 'text', text: 'I ' },
    { type: 'text', text: 'look.' },
  ]
  const call = { id: 'a', type: 'function', function: { name: 'weather', arguments: { city: 'Bern' } } }
  const message = { content: parts, tool_calls: [call] }
  const upstream = await startUpstream(
    json(completion(null, { message })),
    stream([chunk(message), chunk({}, { finish: 'tool_calls' }), done]),
  )
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const ask = { model, input: 'x', tools: [weather] }
  const whole = expectResponse(await responses.create(ask))
  const streamed = lastResponse(await eventsOf(await responses.create({ ...ask, stream: true })))
  for (const { output, id } of [whole, streamed]) {
    expect(output).toMatchObject([
      { type: 'reasoning', content: [{ text: 'Hm.' }] },
      { type: 'message', content: [{ text: 'I look.' }] },
      { type: 'function_call', arguments: '{"city":"Bern"}' },
    ])
    const told = await running.stele.calls.replyMessage('ada', `call_${id.slice(5)}`)
    expect(JSON.parse(told ?? '')).toMatchObject({ content: 'I look.' })
  }
})

test('a reply that says nothing is told as an empty one when the conversation goes on', async () => {
  const cut = completion(null)
  const choices = [{ ...(cut['choices'] as object[])[0], finish_reason: 'length' }]
  const upstream = await startUpstream(
    json({ ...cut, choices }),
    stream([chunk({ role: 'assistant' }), chunk({}, { finish: 'length' }), done]),
    json(completion('More.')),
  )
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const first = expectResponse(await responses.create({ model, input: 'x', max_output_tokens: 16 }))
  expect(first).toMatchObject({ status: 'incomplete', output: [] })
  const previous_response_id = first.id
  const events = await eventsOf(
    await responses.create({ model, input: 'more', previous_response_id, stream: true }),
  )
  await responses.create({ model, input: 'more', previous_response_id: lastResponse(events).id })
  expect(askedOf(upstream.journal[2] as never).messages).toEqual([
    { role: 'user', content: 'x' },
    { role: 'assistant', content: '' },
    { role: 'user', content: 'more' },
    { role: 'assistant', content: '' },
    { role: 'user', content: 'more' },
  ])
})

test('how tools are used goes along only with tools', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const { responses } = (await startGateway({ upstream })).client()
  await responses.create({ model, input: 'x', tools: [], tool_choice: 'auto', parallel_tool_calls: true })
  await responses.create({ model, input: 'x', tool_choice: 'none' })
  const settings = { tool_choice: 'auto' as const, parallel_tool_calls: false }
  await responses.create({ model, input: 'x', tools: [weather], ...settings })
  const [none, alsoNone, some] = upstream.journal.map(askedOf)
  for (const asked of [none, alsoNone])
    expect(Object.keys(asked ?? {})).not.toEqual(expect.arrayContaining([expect.stringMatching(/tool/)]))
  expect(some).toMatchObject(settings)
})

test('a stored prompt needs no input; with chat completions it is what is refused', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const { responses } = (await startGateway({ upstream })).client()
  const asked = responses.create({ model, prompt: { id: 'pmpt_1' } })
  await expect(asked).rejects.toMatchObject({ code: 'not_translatable', param: 'prompt' })
})

const ended = (events: ResponseEvent[]): Response['error'] => lastResponse(events).error

test('what a provider says of its failure is told in the response', async () => {
  const upstream = await startUpstream(
    stream([chunk({ content: 'Once' }), event({ error: { message: 'out of memory', code: 503 } })]),
    json(openAiError('this picture is too large', 'image_too_large'), { status: 400 }),
    json(openAiError('no such key'), { status: 401 }),
  )
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const events = await eventsOf(await responses.create({ model, input: 'x', stream: true }))
  const said = { code: 'server_error', message: 'out of memory' }
  expect(ended(events)).toEqual(said)
  const kept = await responses.retrieve(lastResponse(events).id)
  expect(expectResponse(kept).error).toEqual(said)
  // It is content, and not in what operators see.
  expect((await recorded(running, `call_${kept.id.slice(5)}`)).call.errorMessage).not.toContain('memory')
  expect(running.log()).not.toContain('out of memory')

  const streamed = await responses.create({ model, input: 'x', background: true, stream: true })
  const refused = { code: 'image_too_large', message: 'this picture is too large' }
  const told = await eventsOf(streamed)
  expect(ended(told)).toEqual(refused)
  expect(expectResponse(await responses.retrieve(lastResponse(told).id)).error).toEqual(refused)

  // Of Stele's own key a client is told nothing.
  const { id } = await responses.create({ model, input: 'x', background: true })
  await expect.poll(async () => (await responses.retrieve(id)).status).toBe('failed')
  expect((await responses.retrieve(id)).error?.message).not.toContain('no such key')
})
