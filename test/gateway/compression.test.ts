import type OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { expandRepeats } from '../../src/compression/lossless.ts'
import { historyOf } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { compare, question, told } from './comparing.ts'
import { expectNone, start } from './masking-start.ts'
import { secrets } from './masking-upstream.ts'
import { askedOf } from './responding.ts'
import { errorOf, onlyCall, type Running, startGateway } from './running.ts'
import { questionOf } from './wire.ts'

const header = 'x-stele-compress'
const said = 'Could you please tell me the end of the story,   in order to be sure of it?'
const low = 'Could you please tell me the end of the story, to be sure of it?'
const medium = 'Tell me the end of the story, to be sure of it?'
const high = 'Tell me end of story, to be sure of it?'

/** What `--sent` would print of a call. */
async function sentOf({ stele }: Running, id = ''): Promise<string | undefined> {
  const call = await stele.calls.find(id)
  return (await stele.calls.sentRequest(call?.userId ?? '', id))?.toString()
}

describeEachDatabase('compressed prompts', bed => {
  test('the provider gets fewer words; the record has the request as it came, and what was sent beside it', async () => {
    const { running, upstream } = await start({}, { place: await bed.place() })
    const client = running.client({ defaultHeaders: { [header]: 'high' } })
    const messages = [
      { role: 'system' as const, content: said },
      { role: 'user' as const, content: 'And the   first one?' },
      { role: 'assistant' as const, content: 'The   first one.' },
      { role: 'user' as const, content: [{ type: 'text' as const, text: said }] },
    ]
    const { data, response } = await client.chat.completions.create({ model: 'm', messages }).withResponse()
    expect(response.headers.get('x-stele-compression')).toBe('high/2')
    const id = response.headers.get('x-stele-call-id') ?? ''
    const sent = upstream.journal[0]?.text ?? ''
    expect(askedOf({ text: sent } as never).messages.map(({ content }) => content)).toEqual([
      high,
      'And first one?',
      'The   first one.',
      [{ type: 'text', text: high }],
    ])
    const { call, request } = await onlyCall(running)
    expect(call).toMatchObject({ id, compression: 'high/2', status: 'completed' })
    expect(JSON.parse(request)).toEqual({ model: 'm', messages })
    expect(await sentOf(running, id)).toBe(sent)
    const history = await historyOf(running.stele, call.conversationId)
    expect(history.slice(0, 4)).toEqual(messages)
    // What was said is threaded as it was said, compressed or not.
    const reply = data.choices[0]?.message
    const more = [...messages, { role: 'assistant' as const, content: reply?.content ?? '' }]
    const next = { model: 'm', messages: [...more, { role: 'user' as const, content: 'And then?' }] }
    const again = await running.client().chat.completions.create(next).withResponse()
    expect(again.response.headers.get('x-stele-conversation')).toBe(call.conversationId)
    expect(again.response.headers.has('x-stele-compression')).toBe(false)
    expect(await sentOf(running, again.response.headers.get('x-stele-call-id') ?? '')).toBeUndefined()
  })

  test.each([true, false])('streams, with usage asked for by the client or by Stele: %o', async byClient => {
    const { running, upstream } = await start({}, { place: await bed.place() })
    const options = byClient ? { stream_options: { include_usage: true } } : {}
    const reply = await running.post(questionOf(said, { stream: true, ...options }), { [header]: 'medium' })
    expect(reply.text).toContain('[DONE]')
    const sent = upstream.journal[0]?.text ?? ''
    expect(askedOf({ text: sent } as never)).toMatchObject({
      messages: [{ content: medium }],
      stream_options: { include_usage: true },
    })
    expect(await sentOf(running, String(reply.headers['x-stele-call-id']))).toBe(sent)
  })

  test('masked first: placeholders survive and their values come back; what was sent can be told, and no value of it', async () => {
    const { running, upstream } = await start({ maskPiiBeforeLlm: true }, { place: await bed.place() })
    const text = `Please write to ${secrets.mail} in order to tell ${secrets.mail} of the end.`
    const reply = await running.post(questionOf(text), { [header]: 'high' })
    const sent = upstream.journal[0]?.text ?? ''
    expectNone(sent)
    expect(askedOf({ text: sent } as never).messages[0]?.content).toBe(
      'Write to [EMAIL_1] to tell [EMAIL_1] of end.',
    )
    const completion = JSON.parse(reply.text) as OpenAI.ChatCompletion
    expect(completion.choices[0]?.message.content).toBe(
      `Write to ${secrets.mail} to tell ${secrets.mail} of end.`,
    )
    const { call, request } = await onlyCall(running)
    expect(request).toContain(secrets.mail)
    expect(await sentOf(running, call.id)).toBe(sent)
    expectNone((await running.stele.calls.sentRecord(call.userId, call.id))?.facts ?? secrets.mail)
  })

  test('stored masked: what was sent is told where it says nothing more, and else not kept', async () => {
    const both = { 'x-mask-pii-in-logs': 'true', 'x-mask-pii-before-llm': 'true', [header]: 'high' }
    const { running, upstream } = await start({}, { place: await bed.place() })
    const text = `Please write to ${secrets.mail} of the end.`
    const masked = await running.post(questionOf(text), both)
    const id = String(masked.headers['x-stele-call-id'])
    expect(await sentOf(running, id)).toBe(upstream.journal[0]?.text)
    const open = await running.post(questionOf(text), { ...both, 'x-mask-pii-before-llm': 'false' })
    expect(upstream.journal[1]?.text).toContain(`Write to ${secrets.mail} of end.`)
    const other = String(open.headers['x-stele-call-id'])
    expect(await running.stele.calls.find(other)).toMatchObject({ compression: 'high/2' })
    await failure('content_not_kept', sentOf(running, other))
  })

  test.each([{ responses: true }, { responses: false }])(
    'responses, of a provider that speaks them or not: %o',
    async provider => {
      const { running, upstream } = await start({}, { place: await bed.place(), provider })
      const client = running.client({ defaultHeaders: { [header]: 'high' } })
      const first = await client.responses.create({ model: 'm', instructions: said, input: said })
      const next = {
        model: 'm',
        previous_response_id: first.id,
        input: [{ role: 'user' as const, content: [{ type: 'input_text' as const, text: said }] }],
      }
      await client.responses.create(next)
      const calls = (await running.stele.calls.list()).reverse()
      expect(calls.map(({ compression }) => compression)).toEqual(['high/2', 'high/2'])
      for (const [index, { id }] of calls.entries()) {
        const { text } = upstream.journal[index] ?? { text: '' }
        expect(text).toContain(high)
        expect(text.replaceAll(high, '')).not.toContain('in order to')
        expect(await sentOf(running, id)).toBe(text)
      }
      const items = await client.responses.inputItems.list(first.id)
      expect(JSON.stringify(items.data)).toContain(said)
    },
  )

  test('a response that is not to be kept leaves nothing of what was sent', async () => {
    const { running, upstream } = await start({}, { place: await bed.place() })
    const client = running.client({ defaultHeaders: { [header]: 'high' } })
    await client.responses.create({ model: 'm', input: said, store: false })
    expect(upstream.journal[0]?.text).toContain(high)
    const [call] = await running.stele.calls.list()
    await failure('content_not_kept', sentOf(running, call?.id))
  })

  test('POST /chat, and comparisons', async () => {
    const { running, upstream } = await start(
      { chatModel: 'm', chatSystem: said },
      { place: await bed.place() },
    )
    const turn = { headers: { authorization: `Bearer ${running.key}`, [header]: 'high' } }
    const reply = await running.send('POST', '/chat', {
      headers: { ...turn.headers, 'content-type': 'application/json' },
      body: JSON.stringify({ user_text: said }),
    })
    expect(reply.status).toBe(200)
    const sent = upstream.journal[0]?.text ?? ''
    expect(askedOf({ text: sent } as never).messages.map(({ content }) => content)).toEqual([high, high])
    expect(await sentOf(running, String(reply.headers['x-stele-call-id']))).toBe(sent)
    const asked = question({ messages: [{ role: 'user', content: said }] })
    const compared = told(await compare(running, asked, { [header]: 'medium' }))
    const journal = upstream.journal.slice(1).map(({ text }) => text)
    for (const { call_id: id } of compared.replies) {
      const made = await sentOf(running, id)
      expect(made).toContain(medium)
      expect(journal).toContain(made)
    }
  })
})

describe('who asks for it', () => {
  const contentOf = async (running: Running, headers: Record<string, string> = {}, content = said) => {
    const reply = await running.post(questionOf(content), headers)
    const completion = JSON.parse(reply.text) as OpenAI.ChatCompletion
    return completion.choices[0]?.message.content
  }

  test('nobody: nothing is changed; the request before its key before the configuration', async () => {
    const plain = await start()
    expect(await contentOf(plain.running)).toBe(said)
    expect(await contentOf(plain.running, { [header]: ' Low ' })).toBe(low)
    const { running } = await start({ compress: 'medium' })
    expect(await contentOf(running)).toBe(medium)
    expect(await contentOf(running, { [header]: 'off' })).toBe(said)
    const { secret } = await running.stele.apiKeys.create({ userId: 'bob', compression: 'high' })
    const key = { authorization: `Bearer ${secret}` }
    expect(await contentOf(running, key)).toBe(high)
    expect(await contentOf(running, { ...key, [header]: 'low' })).toBe(low)
    const none = await running.stele.apiKeys.create({ userId: 'bob', compression: 'off' })
    expect(await contentOf(running, { authorization: `Bearer ${none.secret}` })).toBe(said)
  })

  test.each(['gzip', 'lossless'])(
    '%s is sent in words that a model reads, and can be undone',
    async level => {
      const { running, upstream } = await start()
      const text = 'The terms of the contract that was signed in the year before the last one. '.repeat(9)
      const reply = await running.post(questionOf(text), { [header]: level })
      expect(reply.headers['x-stele-compression']).toBe('lossless/2')
      const told = String(askedOf(upstream.journal[0] ?? ({} as never)).messages[0]?.content)
      expect(told.length).toBeLessThan(text.length / 2)
      expect(expandRepeats(told)).toBe(text)
    },
  )

  test('a level that there is not, and what is no chat, are refused; a default does not concern it', async () => {
    const { running, upstream } = await start({ compress: 'high' })
    const unknown = await running.post(questionOf(said), { [header]: 'ultra' })
    expect(unknown.status).toBe(400)
    expect(errorOf(unknown)).toMatchObject({ code: 'invalid_value', param: header })
    const embed = async (client: OpenAI) =>
      client.embeddings.create({ model: 'm', input: said, encoding_format: 'float' })
    const asking = running.client({ defaultHeaders: { [header]: 'low' } })
    await expect(embed(asking)).rejects.toMatchObject({
      status: 400,
      code: 'not_compressible',
      param: header,
    })
    expect(upstream.journal).toHaveLength(0)
    await embed(running.client())
    await embed(running.client({ defaultHeaders: { [header]: 'off' } }))
    for (const { text } of upstream.journal) expect(text).toContain(said)
  })

  test('the echo hears what any provider would get; what answers from the record knows prompts by their own words', async () => {
    const running = await startGateway({ config: { compress: 'high' } })
    const heard = await running.post({ ...questionOf(said), model: 'echo' })
    expect((JSON.parse(heard.text) as OpenAI.ChatCompletion).choices[0]?.message.content).toBe(high)
    const replayed = await running.post({ ...questionOf(said), model: 'replay/echo' })
    expect(replayed.status).toBe(200)
    const [call] = await running.stele.calls.list()
    expect(call).toMatchObject({ provider: 'replay', compression: undefined })
  })

  test('an answer to a compressed prompt is kept for such prompts alone, and one that is given again was not sent', async () => {
    const { running, upstream } = await start()
    const ask = async (level: string) => {
      const reply = await running.post(questionOf(said), { 'x-stele-cache': 'exact', [header]: level })
      return [String(reply.headers['x-stele-cache']).replace(/;.*/, ''), reply.headers['x-stele-compression']]
    }
    expect(await ask('high')).toEqual(['miss', 'high/2'])
    await expect.poll(() => ask('high')).toEqual(['hit', undefined])
    expect(await ask('off')).toEqual(['miss', undefined])
    expect(await ask('low')).toEqual(['miss', 'low/2'])
    const hits = (await running.stele.calls.list()).filter(({ status }) => status === 'cached')
    expect(hits.map(({ compression }) => compression)).toContain(undefined)
    expect(upstream.journal.length + hits.length).toBe((await running.stele.calls.list()).length)
  })

  test('every attempt of a request is sent alike', async () => {
    const { running, upstream } = await start(
      { compress: 'high' },
      { provider: { baseUrl: 'http://127.0.0.1:1/v1' } },
    )
    expect(upstream.journal).toHaveLength(0)
    const reply = await running.post(questionOf(said))
    expect(reply.status).toBe(502)
    const [call] = await running.stele.calls.list()
    expect(call).toMatchObject({ status: 'failed', compression: 'high/2' })
    expect(await sentOf(running, call?.id)).toContain(high)
  })
})
