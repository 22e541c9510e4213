import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { parsePlainRequest } from '../../src/model/plain-request.ts'
import { countTokens, encodingName, promptOf, quickTokens } from '../../src/pricing/tokens.ts'

test.each([
  ['gpt-4o', 'o200k_base'],
  ['gpt-4.1-mini', 'o200k_base'],
  ['gpt-5-nano', 'o200k_base'],
  ['o3-mini', 'o200k_base'],
  ['chatgpt-4o-latest', 'o200k_base'],
  ['claude-sonnet-4-5', 'o200k_base'],
  ['gpt-4', 'cl100k_base'],
  ['gpt-4-turbo-2024-04-09', 'cl100k_base'],
  ['openai/gpt-4-32k', 'cl100k_base'],
  ['ft:gpt-3.5-turbo-0125:a::b', 'cl100k_base'],
  ['text-embedding-3-small', 'cl100k_base'],
  ['text-davinci-003', 'p50k_base'],
  ['davinci', 'r50k_base'],
])('%s is read with %s', (model, name) => {
  expect(encodingName(model)).toBe(name)
})

test('tokens are counted as the model counts them', () => {
  // Known from OpenAI's own tokenizer.
  expect(countTokens('gpt-4o', 'hello world')).toBe(2)
  expect(countTokens('gpt-4', 'antidisestablishmentarianism')).toBe(6)
  expect(countTokens('gpt-4o', '')).toBe(0)
  // What looks like a control token is what somebody wrote.
  expect(countTokens('gpt-4o', '<|endoftext|>')).toBeGreaterThan(1)
})

test('words without an end are counted in time that grows with their length', () => {
  const count = countTokens('gpt-4o', 'a'.repeat(400_000))
  expect(count).toBeGreaterThan(40_000)
  expect(count).toBeLessThan(100_000)
})

test('the quick count is near the truth for prose, and never negative', () => {
  const prose =
    'The quick brown fox jumps over the lazy dog, while nobody watches it from the hills. '.repeat(20)
  const exact = countTokens('gpt-4o', prose)
  expect(Math.abs(quickTokens(prose) - exact) / exact).toBeLessThan(0.34)
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), text => quickTokens(text) >= (text === '' ? 0 : 1)))
})

test('of a request is counted what a model reads: messages, tools, no bytes of images', () => {
  const request = parseChatRequest(
    JSON.stringify({
      model: 'gpt-4o',
      max_completion_tokens: 50,
      n: 3,
      tools: [{ type: 'function', function: { name: 'weather' } }],
      messages: [
        { role: 'system', content: 'Be brief.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(100_000)}` } },
          ],
        },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'x', function: { name: 'f', arguments: '{}' } }],
        },
      ],
    }),
  )
  const { texts, others } = promptOf(request)
  expect(texts).toEqual([
    'Be brief.',
    'What is this?',
    'f',
    '{}',
    '[{"type":"function","function":{"name":"weather"}}]',
  ])
  expect(others).toBe(3 + 3 * 4 + 765)
})

test('of what is no chat too', () => {
  const plain = (operation: 'embeddings' | 'completions', value: object) =>
    promptOf(parsePlainRequest(operation, JSON.stringify({ model: 'm', ...value })))
  expect(plain('embeddings', { input: ['one', 'two'] })).toEqual({ texts: ['one', 'two'], others: 0 })
  expect(plain('embeddings', { input: [[1, 2, 3]] })).toEqual({ texts: [], others: 3 })
  expect(plain('completions', { prompt: 'Once', suffix: 'end' }).texts).toEqual(['Once', 'end'])
})
