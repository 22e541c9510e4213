import { describe, expect, test } from 'vitest'
import { openapiIsThere, validateOpenAI } from '../harness/openapi.ts'
import { startGateway } from './running.ts'
import { questionOf } from './wire.ts'

describe.skipIf(!openapiIsThere)('what Stele itself writes is as OpenAI describes it', () => {
  test('a completion and its events', async () => {
    const running = await startGateway()
    const whole = await running.post(questionOf('Hi', { model: 'echo' }))
    expect(validateOpenAI('CreateChatCompletionResponse', JSON.parse(whole.text))).toEqual([])
    const stream = await running.client().chat.completions.create({
      ...questionOf('Two words', { model: 'echo' }),
      stream: true,
      stream_options: { include_usage: true },
    })
    const chunks: unknown[] = []
    for await (const chunk of stream) chunks.push(chunk)
    expect(chunks.length).toBeGreaterThan(3)
    for (const chunk of chunks)
      expect(validateOpenAI('CreateChatCompletionStreamResponse', chunk)).toEqual([])
  })

  test('what is not so is found', () => {
    const { choices: _, ...incomplete } = {
      id: 'x',
      object: 'chat.completion',
      created: 1,
      model: 'm',
      choices: [],
    }
    expect(validateOpenAI('CreateChatCompletionResponse', incomplete)).toHaveLength(1)
  })
})
