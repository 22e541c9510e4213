import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dollarsText, perToken, toNano } from '../../src/pricing/money.ts'
import { PriceBook, type PriceBookOptions } from '../../src/pricing/price-book.ts'
import { costLines, costOfLines } from '../../src/pricing/rates.ts'

const at = Date.parse('2026-06-15T12:00:00Z')
const usage = { inputTokens: 1_000, outputTokens: 100 }

async function cost(
  options: PriceBookOptions,
  call: { provider: string; model: string; at?: number },
  used = usage,
) {
  return (await PriceBook.open(options)).costOf({ at, ...call }, used)
}

test.each([
  ['what is known of a provider by its name', { provider: 'openai', model: 'gpt-4o' }, 3_500_000],
  ['as the list knows it under other names', { provider: 'gemini', model: 'gemini-2.0-flash' }, 140_000],
  ['a provider that is nobody', { provider: 'acme', model: 'gpt-4o' }, undefined],
  ['a model that is not listed', { provider: 'openai', model: 'gpt-99' }, undefined],
  ['a model of which nobody said whose it is', { provider: 'external', model: 'gpt-4o' }, 3_500_000],
  ['a model by no maker that is known', { provider: 'external', model: 'my-own' }, undefined],
  ['what runs at home', { provider: 'ollama', model: 'llama3' }, undefined],
  ['what Stele answers itself', { provider: 'echo', model: 'echo' }, 0],
  ['what it answers from the record', { provider: 'replay', model: 'gpt-4o' }, 0],
  ['what the list says is free', { provider: 'openrouter', model: 'deepseek/deepseek-r1:free' }, 0],
  ['what the list has no price of', { provider: 'cerebras', model: 'qwen-3-coder-480b' }, undefined],
])('%s', async (_, call, expected) => {
  expect(await cost({}, call)).toBe(expected)
})

test('the address of a provider tells whose prices hold, not its name', async () => {
  const providers = {
    openai: { baseUrl: 'http://127.0.0.1:11434/v1' },
    mine: { baseUrl: 'https://api.openai.com/v1' },
    proxy: { baseUrl: 'http://llm.internal/v1', pricesOf: 'openai' },
    echo: { type: 'openai-compatible', baseUrl: 'http://127.0.0.1:1/v1' },
    parrot: { type: 'echo' },
  } as const
  const of = (provider: string) => cost({ providers }, { provider, model: 'gpt-4o' })
  expect(await of('openai')).toBeUndefined()
  expect(await of('mine')).toBe(3_500_000)
  expect(await of('proxy')).toBe(3_500_000)
  expect(await of('echo')).toBeUndefined()
  expect(await of('parrot')).toBe(0)
})

test("the user's own prices win; the first that fits the model, the provider and the day is taken", async () => {
  const overrides = [
    { model: 'gpt-4o*', provider: 'openai', from: '2026-02-01', until: '2026-07-01', input: 1, output: 2 },
    { model: 'GPT-4o', input: 3, output: 4 },
    { model: 'llama*', input: 0, output: 0 },
    { model: '*-by-call', perCall: 0.002 },
  ]
  const of = (provider: string, model: string, day = '2026-06-15') =>
    cost({ overrides }, { provider, model, at: Date.parse(day) })
  expect(await of('openai', 'gpt-4o-mini')).toBe(1_200_000)
  expect(await of('openai', 'gpt-4o-mini', '2026-01-31')).toBe(210_000)
  expect(await of('openai', 'gpt-4o', '2026-07-01')).toBe(3_400_000)
  expect(await of('azure', 'gpt-4o')).toBe(3_400_000)
  expect(await of('ollama', 'llama3')).toBe(0)
  expect(await of('acme', 'paid-by-call')).toBe(2_000_000)
})

test('an override fits the model that was asked as well as the one that answered', async () => {
  const book = await PriceBook.open({ overrides: [{ model: 'our-model', input: 1, output: 1 }] })
  const call = { provider: 'azure', model: 'gpt-4o-2024-08-06', requestModel: 'our-model', at }
  expect(book.costOf(call, usage)).toBe(1_100_000)
  // The public price of whichever of the two names has one.
  const deployment = { provider: 'azure', model: 'our-deployment', requestModel: 'gpt-4o', at }
  expect(book.costOf(deployment, usage)).toBe(3_500_000)
})

test.each([
  [[{ model: '', input: 1 }], 'prices.0.model'],
  [[{ model: 'x' }], 'it has no price'],
  [[{ model: 'x', input: -1 }], 'prices.0.input'],
  [[{ model: 'x', input: 0.1234567891 }], 'nine decimals at most'],
  [[{ model: 'x', input: Number.NaN }], 'prices.0.input'],
  [[{ model: 'x', input: 1, from: '2026-02-30' }], 'prices.0.from: there is no such day'],
  [[{ model: 'x', input: 1, from: '2026-02-02', until: '2026-02-02' }], 'until must be a later day'],
  [[{ model: 'x', inputs: 1 }], 'prices.0'],
])('an override that is no good is refused by name: %j', async (overrides, told) => {
  await expect(PriceBook.open({ overrides: overrides as never })).rejects.toThrow(told)
})

test('each class of tokens is paid once, at its own price', async () => {
  const book = await PriceBook.open({
    overrides: [
      {
        model: 'm',
        input: 10,
        cachedInput: 1,
        cacheWrite: 12.5,
        output: 100,
        reasoning: 50,
        audioInput: 1_000,
        audioOutput: 2_000,
        perCall: 0.01,
        perWebSearch: 0.02,
        perFileSearch: 0.003,
        perOtherTool: 0.5,
      },
    ],
  })
  const used = {
    inputTokens: 1_000,
    cacheReadInputTokens: 200,
    cacheCreationInputTokens: 100,
    audioInputTokens: 50,
    outputTokens: 500,
    reasoningOutputTokens: 300,
    audioOutputTokens: 20,
    webSearches: 2,
    fileSearches: 3,
    otherPaidTools: 1,
  }
  const lines = book.linesOf({ provider: 'p', model: 'm', at }, used)
  expect(lines?.map(({ kind, count }) => [kind, count])).toEqual([
    ['input', 650],
    ['cacheRead', 200],
    ['cacheCreation', 100],
    ['audioInput', 50],
    ['output', 180],
    ['reasoning', 300],
    ['audioOutput', 20],
    ['webSearch', 2],
    ['fileSearch', 3],
    ['otherTool', 1],
    ['call', 1],
  ])
  const micro = 6_500 + 200 + 1_250 + 50_000 + 18_000 + 15_000 + 40_000 + 10_000 + 40_000 + 9_000 + 500_000
  expect(costOfLines(lines)).toBe(micro * 1_000)
})

test('what is used and has no price makes the cost unknown', async () => {
  const book = await PriceBook.open({
    overrides: [
      { model: 'embed', input: 1 },
      { model: 'chat', input: 1, output: 1 },
    ],
  })
  const of = (model: string, used: object) => book.costOf({ provider: 'p', model, at }, used)
  expect(of('embed', { inputTokens: 5 })).toBe(5_000)
  expect(of('embed', usage)).toBeUndefined()
  expect(of('chat', { inputTokens: 5 })).toBeUndefined()
  expect(of('chat', {})).toBeUndefined()
  expect(of('chat', { ...usage, audioInputTokens: 10 })).toBeUndefined()
  expect(of('chat', { ...usage, cacheReadInputTokens: 10 })).toBe(1_100_000)
  expect(of('chat', { ...usage, serviceTier: 'priority' })).toBeUndefined()
  for (const tool of ['webSearches', 'fileSearches', 'otherPaidTools'])
    expect(of('chat', { ...usage, [tool]: 1 })).toBeUndefined()
})

test('a price for the call has tools in it that have none of their own', async () => {
  const overrides = [
    { model: 'whole', perCall: 0.01 },
    { model: 'partly', perCall: 0.01, perWebSearch: 0.02 },
  ]
  const book = await PriceBook.open({ overrides })
  const used = { webSearches: 3, fileSearches: 1 }
  const of = (model: string) => book.costOf({ provider: 'p', model, at }, used)
  expect([of('whole'), of('partly')]).toEqual([10_000_000, 70_000_000])
})

test('a call may cost what its tools do, unless its seller says itself what it charges', async () => {
  const book = await PriceBook.open()
  const of = (provider: string, model: string) =>
    book.mayCost({ provider, model, at }, { ...usage, otherPaidTools: 1 })
  expect(of('openai', 'gpt-4o')).toBeUndefined()
  expect(of('openrouter', 'openai/gpt-4o')).toBe(3_500_000)
})

test('a service tier has the prices that are given for it', async () => {
  const overrides = [{ model: 'gpt-4o', serviceTier: 'flex', input: 1.25, output: 5 }]
  const book = await PriceBook.open({ overrides })
  const call = { provider: 'openai', model: 'gpt-4o', at }
  expect(book.costOf(call, { ...usage, serviceTier: 'flex' })).toBe(1_750_000)
  expect(book.costOf(call, { ...usage, serviceTier: 'priority' })).toBeUndefined()
  expect(book.costOf(call, usage)).toBe(3_500_000)
})

test('a price by length holds for the whole request, and by time for when the call was made', async () => {
  const book = await PriceBook.open()
  const long = (inputTokens: number) =>
    book.costOf({ provider: 'anthropic', model: 'claude-sonnet-4-5', at }, { inputTokens, outputTokens: 0 })
  expect(long(200_000)).toBe(200_000 * 3_000)
  expect(long(200_001)).toBe(200_001 * 6_000)
  const deepseek = (time: string) =>
    book.costOf({ provider: 'deepseek', model: 'deepseek-chat', at: Date.parse(time) }, usage)
  const day = [deepseek('2026-06-15T12:00:00Z'), deepseek('2026-06-15T20:00:00Z')]
  expect(day).toEqual([380_000, 190_000])
  // Looked up before, in another minute.
  expect(deepseek('2026-06-15T12:00:00Z')).toBe(380_000)
})

test('costs are exact: as if all were counted in whole digits, rounded half up once', () => {
  const nanoDigits = fc.bigInt({ min: 0n, max: 10n ** 12n })
  const count = fc.integer({ min: 0, max: 10_000_000 })
  fc.assert(
    fc.property(nanoDigits, nanoDigits, count, count, (input, output, inputTokens, outputTokens) => {
      // The price as a person writes it, with nine decimals.
      const dollars = (digits: bigint) => Number(`${digits}e-9`)
      const rates = { input: perToken(dollars(input)), output: perToken(dollars(output)) }
      const exact = input * BigInt(inputTokens) + output * BigInt(outputTokens)
      const rounded = exact / 1_000_000n + (exact % 1_000_000n >= 500_000n ? 1n : 0n)
      expect(costOfLines(costLines(rates, { inputTokens, outputTokens }))).toBe(Number(rounded))
    }),
    { numRuns: 2_000 },
  )
})

test('an amount beyond what a number holds is not known, and amounts are written out in full', () => {
  expect(toNano(BigInt(Number.MAX_SAFE_INTEGER) * 1_000_000n)).toBe(Number.MAX_SAFE_INTEGER)
  expect(toNano((BigInt(Number.MAX_SAFE_INTEGER) + 1n) * 1_000_000n)).toBeUndefined()
  expect([toNano(499_999n), toNano(500_000n)]).toEqual([0, 1])
  expect([dollarsText(1_250_000_000n), dollarsText(0n), dollarsText(3n * 10n ** 15n)]).toEqual([
    '0.00000125',
    '0',
    '3',
  ])
})
