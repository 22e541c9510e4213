import { expect, test } from 'vitest'
import { resolveConfig } from '../../src/config.ts'
import { createProviders } from '../../src/providers/registry.ts'
import { errorOf, onlyCall, recorded, startGateway } from '../gateway/running.ts'
import { json, startUpstream } from '../gateway/upstream.ts'
import { questionOf } from '../gateway/wire.ts'
import { completion } from '../harness/chat.ts'
import { memoryPlace } from '../harness/databases.ts'

const named = (name: string) => json(completion(`from ${name}`))

test('the name in front of a model picks its provider; without one the default answers', async () => {
  const [one, two] = [await startUpstream(named('one')), await startUpstream(named('two'))]
  const running = await startGateway({
    config: {
      providers: { one: { baseUrl: one.baseUrl }, two: { baseUrl: `${two.baseUrl}/` } },
      defaultProvider: 'two',
    },
  })
  const ask = async (model: string) => {
    const { text, headers } = await running.post({ ...questionOf('Hi'), model })
    const { call } = await recorded(running, headers['x-stele-call-id'])
    return [JSON.parse(text).choices[0].message.content, call.provider, call.requestModel]
  }
  expect(await ask('one/gpt-x')).toEqual(['from one', 'one', 'gpt-x'])
  expect(await ask('gpt-x')).toEqual(['from two', 'two', 'gpt-x'])
  expect(await ask('vendor/gpt-x')).toEqual(['from two', 'two', 'vendor/gpt-x'])
  expect(await ask('one/vendor/gpt-x')).toEqual(['from one', 'one', 'vendor/gpt-x'])
  expect(two.journal.map(({ path }) => path)).toEqual(['/v1/chat/completions', '/v1/chat/completions'])
})

test('the only provider is the default one', async () => {
  const upstream = await startUpstream(named('one'))
  const running = await startGateway({ config: { providers: { one: { baseUrl: upstream.baseUrl } } } })
  expect((await running.post(questionOf('Hi'))).text).toContain('from one')
})

test("OPENAI_BASE_URL is the provider 'openai' and the default, beside others", async () => {
  const [main, other] = [await startUpstream(named('main')), await startUpstream(named('other'))]
  const running = await startGateway({
    config: {
      openaiBaseUrl: main.baseUrl,
      openaiApiKey: 'sk-up',
      providers: { other: { baseUrl: other.baseUrl } },
    },
  })
  expect((await running.post(questionOf('Hi'))).text).toContain('from main')
  expect((await running.post({ ...questionOf('Hi'), model: 'openai/gpt-x' })).text).toContain('from main')
  expect((await running.post({ ...questionOf('Hi'), model: 'other/m' })).text).toContain('from other')
  expect(main.journal[0]?.headers.authorization).toBe('Bearer sk-up')
  expect(other.journal[0]?.headers.authorization).toBeUndefined()
})

test('with several providers and no default, a model must name one, and the error says how', async () => {
  const upstream = await startUpstream()
  const { baseUrl } = upstream
  const running = await startGateway({ config: { providers: { one: { baseUrl }, two: { baseUrl } } } })
  const reply = await running.post(questionOf('Hi'))
  expect(reply.status).toBe(404)
  expect(errorOf(reply)).toMatchObject({ code: 'model_not_found', param: 'model' })
  expect(errorOf(reply).message).toContain('one/gpt-test, two/gpt-test')
  expect(await running.stele.calls.list()).toEqual([])
})

test('without any provider only echo answers, and the error says so', async () => {
  const running = await startGateway()
  const reply = await running.post(questionOf('Hi'))
  expect(reply.status).toBe(404)
  expect(errorOf(reply).message).toContain("only the built-in model 'echo' answers")
  expect((await running.post({ ...questionOf('Hi'), model: 'echo' })).status).toBe(200)
  expect((await onlyCall(running)).call).toMatchObject({ provider: 'echo', status: 'completed' })
})

test('nothing is contacted before it is needed', async () => {
  const place = await memoryPlace()
  const stele = await place.stele()
  const config = resolveConfig({ providers: { gone: { baseUrl: 'http://192.0.2.1:9/v1' } } }, {})
  const registry = createProviders(config, stele)
  await registry.close()
})
