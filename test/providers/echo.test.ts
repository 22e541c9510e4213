import { expect, test } from 'vitest'
import { onlyCall, recorded, startGateway } from '../gateway/running.ts'

const ask = (content: unknown, more: object = {}) => ({
  model: 'echo',
  messages: [{ role: 'user' as const, content: content as string }],
  ...more,
})

test('echo answers offline with what the user said last', async () => {
  const running = await startGateway()
  const answer = await running.client().chat.completions.create({
    model: 'echo',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'one' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'two  three' },
          { type: 'text', text: 'four' },
        ],
      },
      { role: 'tool', tool_call_id: 'x', content: 'not me' },
    ],
  })
  expect(answer.choices[0]).toMatchObject({
    index: 0,
    message: { role: 'assistant', content: 'two  three\nfour' },
    finish_reason: 'stop',
  })
  expect(answer.usage?.completion_tokens).toBe(3)
  expect((await onlyCall(running)).call).toMatchObject({
    provider: 'echo',
    status: 'completed',
    outputTokens: 3,
    responseModel: 'echo',
  })
})

test('echo streams word by word, and the words are the text', async () => {
  const running = await startGateway()
  const said = '  Grüße,\n\n der 🪨  ist  da '
  const { data, response } = await running
    .client()
    .chat.completions.create({ ...ask(said), stream: true })
    .withResponse()
  const words: string[] = []
  for await (const { choices } of data) if (choices[0]?.delta.content) words.push(choices[0].delta.content)
  expect(words.join('')).toBe(said)
  expect(words).toHaveLength(5)
  const { call } = await recorded(running, response.headers.get('x-stele-call-id'))
  expect(call).toMatchObject({ status: 'completed', outputTokens: 5, finishReasons: ['stop'] })
})

test('echo gives as many choices as are asked for', async () => {
  const running = await startGateway()
  const answer = await running.client().chat.completions.create({ ...ask('Hi'), n: 3 })
  expect(answer.choices.map(({ index, message }) => [index, message.content])).toEqual([
    [0, 'Hi'],
    [1, 'Hi'],
    [2, 'Hi'],
  ])
})

test.each([
  ['nothing', ''],
  ['null', null],
  ['a number', 5],
  ['parts of no known kind', [null, 3, { type: 'image_url' }]],
])('echo answers content that is %s with nothing', async (_, content) => {
  const running = await startGateway()
  const whole = await running.post(ask(content))
  expect(whole.status).toBe(200)
  expect(JSON.parse(whole.text).choices[0].message.content).toBe('')
  const streamed = await running.post(ask(content, { stream: true }))
  expect(streamed.text.endsWith('data: [DONE]\n\n')).toBe(true)
})
