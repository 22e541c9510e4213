import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { countOf } from '../harness/rows.ts'
import { askedOf, expectResponse, weather } from './responding.ts'
import { startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'

const model = 'gpt-test'

const reference = (id: string | undefined) => ({ type: 'item_reference' as const, id: id ?? '' })

const toolReply = {
  message: {
    content: null,
    tool_calls: [{ id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{}' } }],
  },
}

describeEachDatabase('an item that is named by its id', bed => {
  test('stands for the item, and the conversation goes on', async () => {
    const upstream = await startUpstream(json(completion(null, toolReply)), json(completion('Sunny.')))
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const ask = { model, tools: [weather] }
    const question = { role: 'user' as const, content: 'Weather in Bern?' }
    const first = await responses.create({ ...ask, input: [question] })
    const [asked] = (await responses.inputItems.list(first.id)).data
    const output = { type: 'function_call_output' as const, call_id: 'call_a', output: 'sun' }
    const second = await responses.create({
      ...ask,
      input: [reference(asked?.id), { id: first.output[0]?.id ?? '' }, output],
    })
    expect(expectResponse(second).output_text).toBe('Sunny.')
    expect(askedOf(upstream.journal[1] as never).messages).toEqual([
      question,
      { role: 'assistant', ...toolReply.message },
      { role: 'tool', tool_call_id: 'call_a', content: 'sun' },
    ])
    expect(await countOf(running.stele, 'conversations')).toBe(1)
    const { data } = await responses.inputItems.list(second.id, { order: 'asc' })
    expect(data).toMatchObject([{ id: asked?.id }, { id: first.output[0]?.id, name: 'weather' }, output])
    const counted = await responses.inputTokens.count({ model, input: [reference(asked?.id)] })
    expect(counted).toEqual(await responses.inputTokens.count({ model, input: [question] }))
  })

  test('must be one of a response that is there, and of the same user', async () => {
    const upstream = await startUpstream(json(completion('Hi.')))
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const { id, output } = await responses.create({ model, input: 'Hi' })
    const unkept = await responses.create({ model, input: 'Hi', store: false })
    const item = output[0]?.id ?? ''
    const stranger = running.client({ apiKey: await running.newKey('bob') }).responses
    const refused = async (name: string, asker = responses): Promise<void> => {
      const input = ['x', 'y'].map(content => ({ role: 'user' as const, content }))
      const named = [...input, reference(name)]
      const expected = { status: 400, code: 'invalid_value', param: 'input[2].id' }
      await expect(asker.create({ model, input: named })).rejects.toMatchObject(expected)
      await expect(asker.inputTokens.count({ model, input: named })).rejects.toMatchObject(expected)
    }
    await refused(item, stranger)
    await refused(`${item}7`)
    await refused('msg_of_somebody')
    await refused(unkept.output[0]?.id ?? '')
    const twice = responses.create({ model, input: [reference(item), reference(item)] })
    await expect(twice).rejects.toMatchObject({ status: 400, param: 'input[1].id' })
    await responses.delete(id)
    await refused(item)
    expect(upstream.journal).toHaveLength(2)
  })
})

test('items that are named amount to no more than a request may hold', async () => {
  const upstream = await startUpstream(json(completion('long '.repeat(100))))
  const running = await startGateway({ upstream, config: { bodyLimit: 1_000 } })
  const { responses } = running.client()
  const named: (string | undefined)[] = []
  for (const input of ['a', 'b']) named.push((await responses.create({ model, input })).output[0]?.id)
  await responses.create({ model, input: named.slice(1).map(reference) })
  const all = responses.create({ model, input: named.map(reference) })
  await expect(all).rejects.toMatchObject({ status: 413, code: 'body_too_large' })
})

test('a provider that speaks Responses gets the item itself', async () => {
  const chatting = await startUpstream(json(completion('Hi.')))
  const own = await startUpstream(json({ error: { message: 'that will do' } }, { status: 400 }))
  const running = await startGateway({
    upstream: chatting,
    config: { providers: { own: { baseUrl: own.baseUrl, responses: true } } },
  })
  const { responses } = running.client()
  const { output } = await responses.create({ model, input: 'Hi' })
  const input = [{ role: 'user' as const, content: 'a, "b"' }, reference(output[0]?.id)]
  await expect(responses.create({ model: 'own/x', input })).rejects.toThrow('that will do')
  expect(JSON.parse(own.journal[0]?.text ?? '')).toEqual({
    model: 'x',
    input: [input[0], output[0]],
    store: false,
  })
})
