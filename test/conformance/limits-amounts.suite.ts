import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { begin, chatBody, settle, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { bounded, recordedTokens, used, usedOf } from '../harness/limits.ts'
import { rowsOf } from '../harness/rows.ts'

/** What calls hold back of tokens and money, and what they are settled to. */
export function limitAmountsSuite(bed: Bed): void {
  test('what a call may take is held back, and settled to what it took', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { tokensPerDay: 1_000 })
    const call = await begin(stele, bounded(900))
    const held = (await usedOf(stele, { user: 'ada' }))['tokensPerDay'] ?? 0
    // Never less than its output and a token for each byte would be more than there is.
    expect(held).toBeGreaterThan(900)
    expect(call.reserved?.tokens).toBe(held)
    const refusal = await failure('insufficient_quota', begin(stele, bounded(200)))
    expect(refusal.details).toMatchObject({ most: 1_000, left: 1_000 - held, metric: 'tokens' })
    await settle(stele, call, used(20, 30))
    expect(await usedOf(stele, { user: 'ada' })).toEqual({ tokensPerDay: 50 })
    await settle(stele, await begin(stele, bounded(900)), used(10, 890))
    expect(await usedOf(stele, { user: 'ada' })).toEqual({ tokensPerDay: 950 })
    expect(await stele.limits.examine()).toEqual([])
  })

  test('over several stores, with calls that end in every way, no sum is ever beyond its cap', async () => {
    const place = await bed.place()
    const pricing = { overrides: [{ model: '*', input: 1, output: 2 }] }
    const steles = await Promise.all([0, 1, 2].map(() => place.stele({ pricing })))
    const [stele] = steles
    if (stele === undefined) throw new Error('there is no store')
    const most = { tokensPerDay: 1_500, nanousdPerDay: 2_600_000 }
    await stele.limits.set({}, { tokensPerDay: 3_000 })
    await stele.limits.set({ eachUser: true }, most)
    let isOver = false
    let refused = 0
    const outcomes = [
      used(7, 100),
      used(3, 20),
      { status: 'failed', errorCode: 'x' },
      { status: 'aborted' },
    ] as const
    const work = async (worker: number): Promise<void> => {
      for (let turn = 0; turn < 8; turn++) {
        const own = steles[(worker + turn) % steles.length] ?? stele
        const input = { userId: `user ${worker % 3}` }
        try {
          const call = await begin(own, bounded(100, `${worker} ${turn}`), input)
          await settle(own, call, outcomes[(worker + turn) % outcomes.length] ?? used(1, 1))
        } catch (error) {
          expect(error).toMatchObject({ code: 'insufficient_quota' })
          refused++
        }
      }
    }
    const watch = async (): Promise<void> => {
      for (; !isOver; await setImmediate())
        for (const { scope, tokens, nanousd } of await rowsOf(stele, 'limit_counters')) {
          expect(tokens).toBeLessThanOrEqual(scope === 'global' ? 3_000 : most.tokensPerDay)
          if (scope === 'user') expect(nanousd).toBeLessThanOrEqual(most.nanousdPerDay)
        }
    }
    const watching = watch()
    await Promise.all(Array.from({ length: 12 }, (_, worker) => work(worker))).finally(() => {
      isOver = true
    })
    await watching
    expect(refused).toBeGreaterThan(0)
    // What is left is let in to the last token.
    const [sum] = (await rowsOf(stele, 'limit_counters')).filter(({ scope }) => scope === 'global')
    expect(sum?.tokens).toBeGreaterThan(2_000)
    expect(await stele.limits.examine()).toEqual([])
  })

  test('the input is counted exactly where its bytes would be too much', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { tokensPerDay: 1_000 })
    const words = 'house '.repeat(400)
    const call = await begin(stele, bounded(100, words))
    expect(call.reserved?.tokens).toBeLessThan(600)
    expect(call.reserved?.tokens).toBeGreaterThan(500)
  })

  test.each([
    ['failed', { status: 'failed', errorCode: 'provider_error' } as const, 0],
    ['answered, with no word on its usage', { status: 'completed' } as const, 'estimated'],
    ['aborted, with no word on its usage', { status: 'aborted' } as const, 'estimated'],
    ['answered from the cache', { ...used(10, 20), status: 'cached' } as const, 0],
    ['aborted after some of it', { ...used(10, 20), status: 'aborted' } as const, 30],
    ['failed after some of it', { ...used(10, 20), status: 'failed', errorCode: 'x' } as const, 30],
  ])('of a call that %s counts what it took', async (_, outcome, expected) => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { tokensPerDay: 1_000, requestsPerDay: 5 })
    const call = await begin(stele, bounded(100))
    await settle(stele, call, outcome)
    const tokensPerDay = expected === 'estimated' ? await recordedTokens(stele, call.callId) : expected
    expect(await usedOf(stele, { user: 'ada' })).toEqual({ tokensPerDay, requestsPerDay: 1 })
    expect(await stele.limits.examine()).toEqual([])
  })

  test('a limit of cost holds what a call may cost by its price, and counts what it cost', async () => {
    // A micro-dollar a token, whichever way it goes.
    const overrides = [{ model: '*', input: 1, output: 1 }]
    const stele = await (await bed.place()).stele({ pricing: { overrides } })
    await stele.limits.set({ user: 'ada' }, { nanousdPerDay: 500_000 })
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => begin(stele, bounded(100))))
    const calls = outcomes.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
    const held = calls[0]?.reserved?.nanousd ?? 0
    expect(held).toBeGreaterThan(100_000)
    expect(calls).toHaveLength(Math.floor(500_000 / held))
    for (const one of outcomes)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'insufficient_quota' })
    for (const call of calls) await settle(stele, call, used(10, 20))
    expect(await usedOf(stele, { user: 'ada' })).toEqual({ nanousdPerDay: calls.length * 30_000 })
    expect(await stele.limits.examine()).toEqual([])
  })

  test('what may be paid as something dearer holds back that, and another class of service its own price', async () => {
    const overrides = [
      { model: 'm', input: 1, output: 1, cacheWrite: 3, audioInput: 5, audioOutput: 7 },
      { model: 'm', serviceTier: 'priority', input: 2, output: 2 },
    ]
    const stele = await (await bed.place()).stele({ pricing: { overrides } })
    await stele.limits.set({ user: 'ada' }, { nanousdPerDay: 100_000_000 })
    const heldFor = async (parameters: object, content: unknown = 'hi'): Promise<number> => {
      const body = { model: 'm', max_tokens: 100, messages: [{ role: 'user', content }], ...parameters }
      const { reserved } = await begin(stele, JSON.stringify(body))
      return reserved?.nanousd ?? 0
    }
    expect(await heldFor({})).toBe(109_000)
    expect(await heldFor({}, [{ type: 'text', text: 'hi', cache_control: {} }])).toBe(127_000)
    expect(await heldFor({ audio: {}, modalities: ['audio'] })).toBe(745_000)
    expect(await heldFor({ service_tier: 'priority' })).toBe(218_000)
    expect(await heldFor({ service_tier: 'auto' })).toBe(109_000)
    const body = JSON.stringify({ model: 'm', service_tier: 'flex', messages: [user('hi')] })
    await failure('price_unknown', begin(stele, body))
  })

  test('the price of a call decides against a limit of cost, and an unknown one is no price of zero', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await stele.limits.set({ user: 'ada' }, { nanousdPerDay: 1_000 })
    await failure('price_unknown', begin(stele, bounded(10)))
    await begin(stele, bounded(10), { userId: 'bob' })
    const lenient = await place.stele({ limits: { unpriced: 'allow' } })
    const call = await begin(lenient, bounded(10))
    await settle(lenient, call, { ...used(1, 1), costNanousd: 999 })
    expect(await usedOf(stele, { user: 'ada' })).toEqual({ nanousdPerDay: 999 })
    expect(await stele.limits.examine()).toEqual([])
  })

  test('a bound of a reply is one that its provider knows, the larger of two, of each of several answers', async () => {
    const stele = await (await bed.place()).stele({ limits: { defaultOutput: 500 } })
    await stele.limits.set({ user: 'ada' }, { tokensPerDay: 10_000 })
    const heldFor = async (operation: string, parameters: object): Promise<number> => {
      const said = operation === 'chat' ? { messages: [user('q')] } : { prompt: 'q' }
      const body = JSON.stringify({ model: 'test-model', ...said, ...parameters })
      const call = await begin(stele, body, { operation })
      // Beside its output it holds back seven bytes with what frames them, or the one of a prompt.
      return (call.reserved?.tokens ?? 0) - (operation === 'chat' ? 8 : 1)
    }
    expect(await heldFor('chat', { max_completion_tokens: 10, max_tokens: 700 })).toBe(700)
    expect(await heldFor('chat', { max_output_tokens: 1 })).toBe(500)
    expect(await heldFor('chat', { max_tokens: 0 })).toBe(500)
    expect(await heldFor('chat', { max_tokens: 0.5 })).toBe(1)
    expect(await heldFor('chat', { max_tokens: 200, n: 4 })).toBe(800)
    expect(await heldFor('completions', { max_tokens: 600, max_completion_tokens: 1 })).toBe(600)
  })

  test('a bound beyond reason is more than any limit, and nothing that a sum cannot hold', async () => {
    const overrides = [{ model: '*', perCall: 0 }]
    const stele = await (await bed.place()).stele({ pricing: { overrides } })
    await stele.limits.set({ user: 'ada' }, { nanousdPerDay: 1_000 })
    const bodies = ['1e400', '1e30', '9007199254740993'].map(many =>
      chatBody([user('q')]).replace(/}$/, `,"max_tokens":${many},"n":${many}}`),
    )
    for (const body of bodies) await settle(stele, await begin(stele, body), used(10, 20))
    expect(await stele.limits.examine()).toEqual([])
    await stele.limits.set({ user: 'ada' }, { tokensPerDay: 1_000_000 })
    for (const body of bodies) await failure('insufficient_quota', begin(stele, body))
  })

  test('what is sent in the place of a request is what it is counted by', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { tokensPerDay: 1_000 })
    const sentText = bounded(100, 'house '.repeat(20))
    const call = await begin(stele, bounded(100, 'house '.repeat(2_000)), { sentText })
    expect(call.reserved?.tokens).toBeGreaterThan(110)
    expect(call.reserved?.tokens).toBeLessThan(240)
    await settle(stele, call, { status: 'aborted' })
    expect(await recordedTokens(stele, call.callId)).toBeLessThan(40)
    expect(await stele.limits.examine()).toEqual([])
  })

  test('a request that does not say how long its reply may be counts for a usual one, or is refused', async () => {
    const place = await bed.place()
    const stele = await place.stele({ limits: { defaultOutput: 500 } })
    await stele.limits.set({ user: 'ada' }, { tokensPerDay: 1_000 })
    const call = await begin(stele, chatBody([user('q')]))
    expect(call.reserved?.tokens).toBeGreaterThanOrEqual(500)
    expect(call.reserved?.tokens).toBeLessThan(520)
    const strict = await place.stele({ limits: { openEnded: 'refuse' } })
    const refusal = await failure('missing_required_parameter', begin(strict, chatBody([user('q')])))
    expect(refusal.param).toBe('max_completion_tokens')
    await begin(strict, bounded(10))
    const other = (operation: string, parameters: object) =>
      begin(strict, JSON.stringify({ model: 'test-model', messages: [user('q')], ...parameters }), {
        operation,
      })
    const searching = { max_output_tokens: 10, tools: [{ type: 'web_search' }] }
    expect((await failure('missing_required_parameter', other('responses', {}))).param).toBe(
      'max_output_tokens',
    )
    // Tools take money and no tokens.
    await other('responses', searching)
    await strict.limits.set({ user: 'ada' }, { tokensPerDay: 1_000, nanousdPerDay: 1 })
    expect((await failure('missing_required_parameter', other('responses', searching))).param).toBe(
      'max_tool_calls',
    )
    await failure('price_unknown', other('responses', { ...searching, max_tool_calls: 3 }))
  })

  test('the tools that a provider may use are held back at the dearest of them, or refused without a price', async () => {
    const pricing = {
      overrides: [
        { model: 'free', perCall: 0, perWebSearch: 0.01, perFileSearch: 0.002 },
        { model: 'tokens', input: 0, output: 0, perWebSearch: 0.01 },
        { model: 'gpt-5-search-api', input: 0, output: 0, perWebSearch: 0.01 },
        { model: 'paid', input: 0, output: 100 },
      ],
    }
    const stele = await (await bed.place()).stele({ pricing })
    await stele.limits.set({ user: 'ada' }, { nanousdPerDay: 1_000_000_000 })
    const held = async (model: string, parameters: object, operation = 'responses') => {
      const body = JSON.stringify({ model, messages: [user('q')], max_output_tokens: 10, ...parameters })
      const call = await begin(stele, body, { operation, requestModel: model })
      return call.reserved?.nanousd
    }
    const [web, files, code] = ['web_search', 'file_search', 'code_interpreter'].map(type => ({
      type,
    }))
    expect(await held('tokens', { tools: [{ type: 'function', name: 'f' }] })).toBe(0)
    expect(await held('tokens', { tools: [web] })).toBe(100_000_000)
    expect(await held('free', { tools: [files, web], max_tool_calls: 3 })).toBe(30_000_000)
    expect(await held('free', { tools: [files], max_tool_calls: 3 })).toBe(6_000_000)
    expect(await held('free', { tools: [web], max_tool_calls: 0 })).toBe(0)
    expect(await held('tokens', { tools: [code], tool_choice: 'none' })).toBe(0)
    // Of a chat only the model tells; of tools that others run its reply says nothing.
    expect(await held('tokens', { tools: [code], max_tokens: 10 }, 'chat')).toBe(0)
    expect(await held('gpt-5-search-api', { max_tokens: 10 }, 'chat')).toBe(10_000_000)
    await failure('price_unknown', held('tokens', { tools: [code] }))
    await failure('price_unknown', held('tokens', { tools: [{ type: 'web_search_preview' }] }))
    await failure('insufficient_quota', held('tokens', { tools: [web], max_tool_calls: 1e300 }))
    expect(await stele.limits.examine()).toEqual([])

    // Where what is unknown is allowed, what is known is held back all the same.
    const allowing = await (await bed.place()).stele({ pricing, limits: { unpriced: 'allow' } })
    await allowing.limits.set({ user: 'ada' }, { nanousdPerDay: 1_000_000_000 })
    const body = JSON.stringify({
      model: 'paid',
      messages: [user('q')],
      max_output_tokens: 10,
      tools: [code],
    })
    const call = await begin(allowing, body, { operation: 'responses', requestModel: 'paid' })
    expect(call.reserved?.nanousd).toBe(1_000_000)
  })
}
