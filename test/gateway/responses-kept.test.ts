import { expect, test } from 'vitest'
import { isAbsent } from '../../src/privacy/content.ts'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { eventsOf, expectResponse } from './responding.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'
import { json, silence, startUpstream, stream } from './upstream.ts'
import { answerEvents, openAiError } from './wire.ts'

const model = 'gpt-test'

const post = (running: Running, body: object, headers: Record<string, string> = {}): Promise<RawReply> =>
  running.send('POST', '/v1/responses', {
    headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

const key = (value: string): Record<string, string> => ({ 'idempotency-key': value })

describeEachDatabase('an idempotency key of a response', bed => {
  test.each([
    ['JSON', json(completion('once')), {}],
    ['a stream', stream(answerEvents(['on', 'ce'])), { stream: true }],
    ['a stream made of a whole reply', json(completion('once')), { stream: true }],
  ])('gives %s again, byte for byte, and asks nobody twice', async (_, answer, more) => {
    const upstream = await startUpstream(answer)
    const running = await startGateway({ upstream, place: await bed.place() })
    const first = await post(running, { model, input: 'Hi' })
    const previous = JSON.parse(first.text.startsWith('{') ? first.text : '{}') as { id?: string }
    const body = { model, input: 'once', previous_response_id: previous.id, ...more }
    const [one, two] = [await post(running, body, key('k')), await post(running, body, key('k'))]
    expect(one.status).toBe(200)
    expect(two.text).toBe(one.text)
    expect(two.headers['idempotent-replayed']).toBe('true')
    for (const name of ['x-stele-call-id', 'x-stele-conversation'])
      expect([name, two.headers[name]]).toEqual([name, one.headers[name]])
    expect(upstream.journal).toHaveLength(2)
    expect(await countOf(running.stele, 'responses')).toBe(2)
  })

  test('is refused for another request, and free again after a failure', async () => {
    const upstream = await startUpstream(json(openAiError('busy'), { status: 500 }), json(completion('now')))
    const running = await startGateway({ upstream, place: await bed.place() })
    expect((await post(running, { model, input: 'Hi' }, key('k'))).status).toBe(500)
    const second = await post(running, { model, input: 'Hi' }, key('k'))
    expect(second.status).toBe(200)
    const other = await post(running, { model, input: 'Ho' }, key('k'))
    expect(errorOf(other).code).toBe('idempotency_key_reused')
    // The same body means something else on another route.
    const chat = await running.post({ model, messages: [{ role: 'user', content: 'Hi' }] }, key('k'))
    expect(errorOf(chat).code).toBe('idempotency_key_reused')
  })

  test('of one that is made in the background gives that one, as it stands', async () => {
    const upstream = await startUpstream(silence)
    const running = await startGateway({ upstream, place: await bed.place() })
    const body = { model, input: 'Hi', background: true }
    const [one, two] = [await post(running, body, key('k')), await post(running, body, key('k'))]
    expect(JSON.parse(two.text)).toEqual(JSON.parse(one.text))
    expect(upstream.journal.length).toBeLessThan(2)
    expect(await countOf(running.stele, 'llm_requests')).toBe(1)
    await running.client().responses.cancel((JSON.parse(one.text) as { id: string }).id)
  })
})

test('of a response that is not to be kept there is nothing to retrieve or to go on from', async () => {
  const upstream = await startUpstream(
    json(completion('unkept')),
    stream(answerEvents(['unkept'])),
    json(completion('kept')),
  )
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const { recorder } = running.stele
  const begin = recorder.begin.bind(recorder)
  const kept: unknown[] = []
  recorder.begin = input => {
    kept.push((input.body as { store?: boolean }).store)
    return begin(input)
  }
  const whole = expectResponse(await responses.create({ model, input: 'x', store: false }))
  expect(whole).toMatchObject({ output_text: 'unkept', store: false })
  const [created] = await eventsOf(await responses.create({ model, input: 'x', store: false, stream: true }))
  const streamed = created?.type === 'response.created' ? created.response.id : ''
  for (const id of [whole.id, streamed]) {
    const missing = { status: 404, code: 'response_not_found' }
    await expect(responses.retrieve(id)).rejects.toMatchObject(missing)
    await expect(responses.inputItems.list(id)).rejects.toMatchObject(missing)
    const next = responses.create({ model, input: 'y', previous_response_id: id })
    await expect(next).rejects.toMatchObject({ status: 400, code: 'previous_response_not_found' })
  }
  expect(await countOf(running.stele, 'responses')).toBe(0)
  expect(kept).toEqual([false, false])
  const { stele } = running
  expect((await rowsOf(stele, 'messages')).every(({ content }) => isAbsent(content))).toBe(true)
  for (const { params, body } of await rowsOf(stele, 'llm_requests'))
    expect([params, body && isAbsent(body)]).toEqual([null, true])
  for (const { body } of await rowsOf(stele, 'llm_responses')) expect(body && isAbsent(body)).toBe(true)
  const usage = await running.stele.calls.list()
  expect(usage.map(({ status, outputTokens }) => [status, outputTokens])).toEqual([
    ['completed', 1],
    ['completed', 5],
  ])
  // The provider is not told: whether anything is kept is decided here.
  expect(upstream.journal.map(({ text }) => text.includes('store'))).toEqual([false, false])
  const again = [
    await post(running, { model, input: 'z', store: false }, key('k')),
    await post(running, { model, input: 'z', store: false }, key('k')),
  ]
  expect(again.map(({ status }) => status)).toEqual([200, 410])
})

test('what is not kept may go on from what is', async () => {
  const running = await startGateway()
  const { responses } = running.client()
  const first = await responses.create({ model: 'echo', input: 'kept' })
  const second = await responses.create({
    model: 'echo',
    input: 'unkept',
    previous_response_id: first.id,
    store: false,
  })
  expect(second).toMatchObject({ output_text: 'unkept', previous_response_id: first.id })
  const third = await responses.create({ model: 'echo', input: 'kept too', previous_response_id: first.id })
  expect((await responses.retrieve(third.id)).output_text).toBe('kept too')
})

test('of a response that has expired a client is told so, and nothing goes on from it', async () => {
  const running = await startGateway({ store: { retention: { contentDays: 30, metadataDays: 60 } } })
  const { responses } = running.client()
  const { id } = await responses.create({ model: 'echo', input: 'kept for a while' })
  const later = (days: number) => ({ now: Date.now() + days * 86_400_000 })
  await running.stele.retention.run(later(31))
  const gone = { status: 410, code: 'content_not_kept' }
  await expect(responses.retrieve(id)).rejects.toMatchObject(gone)
  await expect(responses.inputItems.list(id)).rejects.toMatchObject(gone)
  const next = responses.create({ model: 'echo', input: 'y', previous_response_id: id })
  await expect(next).rejects.toMatchObject(gone)
  await running.stele.retention.run(later(61))
  await expect(responses.retrieve(id)).rejects.toMatchObject({ status: 404, code: 'response_not_found' })
})
