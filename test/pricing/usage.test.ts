import { expect, test } from 'vitest'
import { StreamedReply } from '../../src/model/stream-reply.ts'
import { toolsUsed } from '../../src/model/tool-use.ts'
import { readUsage } from '../../src/model/usage.ts'
import { accountOfRow } from '../../src/store/account-columns.ts'

test.each([
  [
    'a chat completion of OpenAI',
    {
      prompt_tokens: 1_000,
      completion_tokens: 300,
      total_tokens: 1_300,
      prompt_tokens_details: { cached_tokens: 400, audio_tokens: 10 },
      completion_tokens_details: { reasoning_tokens: 200, audio_tokens: 5, accepted_prediction_tokens: 0 },
    },
    {
      inputTokens: 1_000,
      outputTokens: 300,
      cacheReadInputTokens: 400,
      reasoningOutputTokens: 200,
      audioInputTokens: 10,
      audioOutputTokens: 5,
    },
  ],
  [
    'a response',
    {
      input_tokens: 50,
      input_tokens_details: { cached_tokens: 40 },
      output_tokens: 9,
      output_tokens_details: { reasoning_tokens: 4 },
      total_tokens: 59,
    },
    { inputTokens: 50, outputTokens: 9, cacheReadInputTokens: 40, reasoningOutputTokens: 4 },
  ],
  ['embeddings', { prompt_tokens: 8, total_tokens: 8 }, { inputTokens: 8 }],
  [
    'only the whole and a part',
    { completion_tokens: 5, total_tokens: 12 },
    { inputTokens: 7, outputTokens: 5 },
  ],
  [
    "DeepSeek's cache",
    { prompt_tokens: 100, prompt_cache_hit_tokens: 64, prompt_cache_miss_tokens: 36, completion_tokens: 5 },
    { inputTokens: 100, outputTokens: 5, cacheReadInputTokens: 64 },
  ],
  [
    "Moonshot's cache",
    { prompt_tokens: 100, cached_tokens: 64, completion_tokens: 5 },
    { inputTokens: 100, outputTokens: 5, cacheReadInputTokens: 64 },
  ],
  [
    "Anthropic's own, whose input leaves out the cache",
    {
      input_tokens: 10,
      cache_read_input_tokens: 500,
      cache_creation_input_tokens: 300,
      cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
      output_tokens: 20,
    },
    {
      inputTokens: 810,
      outputTokens: 20,
      cacheReadInputTokens: 500,
      cacheCreationInputTokens: 300,
      longCacheCreationInputTokens: 200,
    },
  ],
  [
    "a router's, whose input counts the cache",
    {
      prompt_tokens: 810,
      completion_tokens: 20,
      total_tokens: 830,
      cache_read_input_tokens: 500,
      cache_creation_input_tokens: 300,
    },
    { inputTokens: 810, outputTokens: 20, cacheReadInputTokens: 500, cacheCreationInputTokens: 300 },
  ],
  [
    "another router's, whose total tells that it does not",
    {
      prompt_tokens: 600,
      completion_tokens: 20,
      total_tokens: 1_420,
      cache_read_input_tokens: 500,
      cache_creation_input_tokens: 300,
    },
    { inputTokens: 1_400, outputTokens: 20, cacheReadInputTokens: 500, cacheCreationInputTokens: 300 },
  ],
  [
    "OpenRouter's writes",
    {
      prompt_tokens: 900,
      completion_tokens: 20,
      total_tokens: 920,
      prompt_tokens_details: { cached_tokens: 100, cache_write_tokens: 700 },
    },
    { inputTokens: 900, outputTokens: 20, cacheReadInputTokens: 100, cacheCreationInputTokens: 700 },
  ],
  [
    "xAI's thinking, beside the output",
    {
      prompt_tokens: 30,
      completion_tokens: 10,
      total_tokens: 240,
      completion_tokens_details: { reasoning_tokens: 200 },
    },
    { inputTokens: 30, outputTokens: 210, reasoningOutputTokens: 200 },
  ],
  [
    "Gemini's thinking, in the total alone",
    { prompt_tokens: 30, completion_tokens: 10, total_tokens: 240 },
    { inputTokens: 30, outputTokens: 210 },
  ],
  [
    "Gemini's own",
    {
      promptTokenCount: 30,
      cachedContentTokenCount: 12,
      candidatesTokenCount: 10,
      thoughtsTokenCount: 200,
      totalTokenCount: 240,
    },
    { inputTokens: 30, outputTokens: 210, cacheReadInputTokens: 12, reasoningOutputTokens: 200 },
  ],
  ['nothing but zeros, which is no count', { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }, {}],
  ['what is no number', { prompt_tokens: '12', completion_tokens: -3, total_tokens: 1.5 }, {}],
  [
    'more than anybody can have read, which would spoil every sum',
    { prompt_tokens: Number.MAX_SAFE_INTEGER, completion_tokens: 5, total_tokens: 1_000_000_001 },
    { inputTokens: undefined, outputTokens: 5 },
  ],
  [
    'OpenRouter, with what it charges',
    { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14, cost: 0.00014535, is_byok: false },
    { inputTokens: 9, outputTokens: 5, toldNanousd: 145_350 },
  ],
  [
    'OpenRouter with a key of one’s own, which is charged elsewhere too',
    {
      ...{ prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 },
      ...{ cost: 0.000001, is_byok: true, cost_details: { upstream_inference_cost: 0.00002 } },
    },
    { inputTokens: 9, outputTokens: 5, toldNanousd: 21_000 },
  ],
  [
    'the same, without what that is',
    { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14, cost: 0.000001, is_byok: true },
    { inputTokens: 9, outputTokens: 5 },
  ],
  [
    'xAI, with what it charges',
    { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14, cost_in_usd_ticks: 37_756_000 },
    { inputTokens: 9, outputTokens: 5, toldNanousd: 3_775_600 },
  ],
  [
    'a cost that is none',
    { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14, cost: -1, cost_in_usd_ticks: '7' },
    { inputTokens: 9, outputTokens: 5 },
  ],
  [
    'Perplexity, with its searches and what it charges in all',
    {
      ...{ prompt_tokens: 9, completion_tokens: 5, total_tokens: 14, num_search_queries: 2 },
      cost: { currency: 'USD', request_cost: 0.005, total_cost: 0.00502 },
    },
    { inputTokens: 9, outputTokens: 5, webSearches: 2, toldNanousd: 5_020_000 },
  ],
  [
    'the same in money that is not told in dollars',
    { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14, cost: { currency: 'EUR', total_cost: 1 } },
    { inputTokens: 9, outputTokens: 5 },
  ],
  ['nothing', null, {}],
])('usage is read of %s', (_, told, expected) => {
  expect(readUsage(told)).toEqual(expected)
})

test('code is paid for by the container, and no mistaken number of uses is taken', () => {
  const code = (container?: string) => ({ type: 'code_interpreter_call', container_id: container })
  expect(toolsUsed([code('a'), code('b'), code('a')], [])).toEqual({ otherPaidTools: 2 })
  expect(toolsUsed([code(), code(), { type: 'constructor' }], 'none')).toEqual({ otherPaidTools: 2 })
  const told = (searches: unknown) =>
    readUsage({ input_tokens: 1, output_tokens: 1, server_tool_use: { web_search_requests: searches } })
      .webSearches
  expect([told(1_000_000), told(1_000_001), told(-1), told(0.5), told('3')]).toEqual([
    1_000_000,
    ...[undefined, undefined, undefined, undefined],
  ])
  const row = {
    ...{ input_tokens: 1, output_tokens: 1, cache_read_input_tokens: null, reasoning_output_tokens: null },
    ...{ cost_nanousd: null, usage_source: 'reported', cache_creation_input_tokens: null },
  } as const
  expect(accountOfRow({ ...row, usage_details: '{"webSearches":-1}' }).usage.webSearches).toBeUndefined()
})

test('a stream tells its usage at the end, little by little, or under another name', () => {
  const usageOf = (...chunks: object[]) => {
    const streamed = new StreamedReply()
    for (const chunk of chunks) streamed.add({ choices: [], ...chunk })
    return streamed.reply().usage
  }
  const last = { usage: { prompt_tokens: 7, completion_tokens: 3 } }
  expect(usageOf({ usage: null }, last)).toEqual({ inputTokens: 7, outputTokens: 3 })
  expect(usageOf({ usage: { prompt_tokens: 7, completion_tokens: 1 } }, last)).toMatchObject({
    outputTokens: 3,
  })
  expect(usageOf({ x_groq: last })).toEqual({ inputTokens: 7, outputTokens: 3 })
  expect(usageOf({ usage: { input_tokens: 7 } }, { usage: { output_tokens: 3 } })).toEqual({
    inputTokens: 7,
    outputTokens: 3,
  })
  expect(usageOf({ service_tier: 'flex' }, last)).toEqual({
    inputTokens: 7,
    outputTokens: 3,
    serviceTier: 'flex',
  })
  expect(usageOf({ service_tier: 'default' }, last)).toEqual({ inputTokens: 7, outputTokens: 3 })
})
