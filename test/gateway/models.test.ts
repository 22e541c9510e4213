import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { startGateway } from './running.ts'
import { brokenStream, headThenSilence, json, reset, startUpstream, whole } from './upstream.ts'

const list = (...ids: string[]) =>
  json({
    object: 'list',
    data: ids.map(id => ({ id, object: 'model', created: 1_700_000_000, owned_by: 'acme' })),
  })

async function idsOf(client: OpenAI): Promise<string[]> {
  const ids: string[] = []
  for await (const { id } of client.models.list()) ids.push(id)
  return ids
}

test("the official client lists every provider's models, the default's by their own names", async () => {
  const [first, second] = [await startUpstream(), await startUpstream()]
  first.models = list('gpt-a', 'gpt-b')
  second.models = list('llama')
  const running = await startGateway({
    upstream: first,
    config: { providers: { other: { baseUrl: second.baseUrl } } },
  })
  expect(await idsOf(running.client())).toEqual(['gpt-a', 'gpt-b', 'other/llama'])
})

test('the official client retrieves a model, with its provider in front too', async () => {
  const [first, second] = [await startUpstream(), await startUpstream()]
  first.models = list('gpt-a')
  second.models = list('meta/llama')
  const running = await startGateway({
    upstream: first,
    config: { providers: { other: { baseUrl: second.baseUrl } } },
  })
  const client = running.client()
  expect(await client.models.retrieve('gpt-a')).toEqual({
    id: 'gpt-a',
    object: 'model',
    created: 1_700_000_000,
    owned_by: 'acme',
  })
  expect(await client.models.retrieve('other/meta/llama')).toMatchObject({ id: 'other/meta/llama' })
  expect(await client.models.retrieve('gpt-z').catch((error: unknown) => error)).toBeInstanceOf(
    OpenAI.NotFoundError,
  )
})

test('models named in the configuration are listed without asking', async () => {
  const upstream = await startUpstream()
  upstream.models = reset
  const running = await startGateway({ upstream, provider: { models: ['m1', 'm2'] } })
  expect(await idsOf(running.client())).toEqual(['m1', 'm2'])
})

test.each([
  ['cannot be reached', reset],
  ['answers with an error', json({ error: { message: 'no' } }, { status: 500 })],
  ['answers with garbage', whole('sekret-words', { 'content-type': 'text/html' })],
  ['answers with something else', json({ object: 'list', data: { id: 'x' } })],
  ['breaks off', brokenStream(['{"data":[{"id":"x"'], Promise.resolve())],
])("a provider that %s hides none of the others' models", async (_, models) => {
  const [first, second] = [await startUpstream(), await startUpstream()]
  first.models = models
  second.models = list('llama')
  const running = await startGateway({
    upstream: first,
    config: { providers: { other: { baseUrl: second.baseUrl } } },
  })
  expect(await idsOf(running.client())).toEqual(['other/llama'])
  expect(running.log()).not.toContain('sekret')
})

test('a list that a provider once gave stays while it is in trouble, and is not taken for empty', async () => {
  const upstream = await startUpstream()
  const running = await startGateway({ upstream })
  upstream.models = json({ error: { message: 'busy' } }, { status: 503 })
  expect(await idsOf(running.client())).toEqual([])
  upstream.models = list('gpt-a')
  expect(await idsOf(running.client())).toEqual(['gpt-a'])
})

test('models are listed to those with a key alone, however the path is written', async () => {
  const upstream = await startUpstream()
  upstream.models = list('gpt-a')
  const running = await startGateway({ upstream })
  for (const path of [
    '/v1/models',
    '/v1/models/gpt-a',
    '/%761/models',
    '/v%31/models/gpt-a',
    `${running.address}/v1/models`,
  ]) {
    const { status, text } = await running.send('GET', path.replace(running.address, ''))
    expect({ path, status }).toEqual({ path, status: 401 })
    expect(text).not.toContain('gpt-a')
  }
})

test('a client that gives up on the list leaves nothing behind', async () => {
  const upstream = await startUpstream()
  upstream.models = headThenSilence({ 'content-type': 'application/json' })
  const running = await startGateway({ upstream })
  const leaving = new AbortController()
  const asked = Promise.withResolvers<void>()
  const { models } = upstream
  upstream.models = (reply, request) => {
    asked.resolve()
    return models(reply, request)
  }
  const listed = running.client().models.list({ signal: leaving.signal })
  const failed = listed.catch((error: unknown) => error)
  await asked.promise
  leaving.abort()
  expect(await failed).toBeInstanceOf(OpenAI.APIUserAbortError)
  upstream.models = list('gpt-a')
  expect(await idsOf(running.client())).toEqual(['gpt-a'])
})
