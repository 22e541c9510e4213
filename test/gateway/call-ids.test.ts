import { expect, test } from 'vitest'
import type { BegunCall } from '../../src/model/call.ts'
import type { Recorder } from '../../src/recorder/recorder.ts'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase, sqlitePlace } from '../harness/databases.ts'
import { FakeTiming } from './fake-timing.ts'
import { errorOf, onlyCall, type RawReply, recorded, startGateway } from './running.ts'
import { json, startUpstream, stream, whole } from './upstream.ts'
import { answerEvents, openAiError, questionOf } from './wire.ts'

type Begin = Recorder['begin']

/** Has every call of a recorder begun by `through`, which is given the real way. */
function beginThrough(recorder: Recorder, through: (begin: Begin) => Begin): void {
  recorder.begin = through(recorder.begin.bind(recorder))
}

describeEachDatabase('a request whose key another takes between two attempts', bed => {
  test('makes a new call, and what its client gets is on record under the id it is told', async () => {
    const second = Promise.withResolvers<void>()
    const upstream = await startUpstream(
      whole('oops', { status: 500 }),
      async (reply, request) => {
        await second.promise
        await json(openAiError('no'), { status: 400 })(reply, request)
      },
      json(completion('for the first')),
    )
    const place = await bed.place()
    const headers = { 'idempotency-key': 'k' }
    const other = await startGateway({ upstream, place })
    let taking: Promise<RawReply> | undefined
    const timing = new FakeTiming(async () => {
      taking ??= other.post(questionOf('Hi'), headers)
      await upstream.received(1)
    })
    const running = await startGateway({ upstream, place, provider: { retries: 2 }, timing })
    const refused = Promise.withResolvers<unknown>()
    beginThrough(running.stele.recorder, begin => async input => {
      try {
        return await begin(input)
      } catch (error) {
        refused.resolve(error)
        throw error
      }
    })
    const asking = running.post(questionOf('Hi'), headers)
    expect(await refused.promise).toMatchObject({ code: 'idempotency_key_in_use' })
    second.resolve()
    const reply = await asking
    expect((await taking)?.status).toBe(400)
    expect(reply.status).toBe(200)

    const { call, response } = await recorded(running, reply.headers['x-stele-call-id'])
    expect(response).toBe(reply.text)
    expect(call).toMatchObject({ status: 'completed', groupId: call.id, attempt: 1, routeMode: undefined })
    expect(reply.headers['x-stele-attempts']).toBeUndefined()
    const calls = await running.stele.calls.list()
    expect(calls.map(({ status }) => status)).toEqual(['completed', 'failed', 'failed'])
    expect(upstream.journal).toHaveLength(3)
    const again = await running.post(questionOf('Hi'), headers)
    expect([again.text, again.headers['idempotent-replayed']]).toEqual([reply.text, 'true'])
    expect(again.headers['x-stele-call-id']).toBe(call.id)
    expect(upstream.journal).toHaveLength(3)
  })
})

test('tells of no attempts of its own when the answer comes from the request that took its key', async () => {
  const second = Promise.withResolvers<void>()
  const upstream = await startUpstream(
    whole('oops', { status: 500 }),
    whole('oops', { status: 500 }),
    async (reply, request) => {
      await second.promise
      await json(completion('for the other'))(reply, request)
    },
  )
  const place = await sqlitePlace()
  const headers = { 'idempotency-key': 'k' }
  const other = await startGateway({ upstream, place })
  let taking: Promise<RawReply> | undefined
  const timing = new FakeTiming(async () => {
    if (timing.waits.length < 2) return
    taking ??= other.post(questionOf('Hi'), headers)
    await upstream.received(2)
    setImmediate(second.resolve)
  })
  const running = await startGateway({ upstream, place, provider: { retries: 3 }, timing })
  const reply = await running.post(questionOf('Hi'), headers)
  const taken = await taking
  expect([reply.status, reply.text]).toEqual([200, taken?.text])
  expect(reply.headers['idempotent-replayed']).toBe('true')
  expect(reply.headers['x-stele-call-id']).toBe(taken?.headers['x-stele-call-id'])
  expect(reply.headers['x-stele-conversation']).toBe(taken?.headers['x-stele-conversation'])
  expect(reply.headers['x-stele-attempts']).toBeUndefined()
})

describeEachDatabase('a call id that is on record', bed => {
  test.each([
    ['has ended', 'failed'],
    ['is under way', undefined],
  ] as const)('is not asked under again when its call %s', async (_, status) => {
    const upstream = await startUpstream(json(completion('not on record')))
    const place = await bed.place()
    const elsewhere = await place.stele()
    const running = await startGateway({ upstream, place })
    beginThrough(running.stele.recorder, begin => async input => {
      const call = await elsewhere.recorder.begin({ ...input, isNew: false })
      if (status !== undefined) await elsewhere.recorder.settle(call, { status })
      return begin(input)
    })
    const reply = await running.post(questionOf('Hi'))
    expect([reply.status, errorOf(reply).code]).toEqual([500, 'call_id_taken'])
    expect(upstream.journal).toHaveLength(0)
  })

  test.each([
    ['a whole reply', json(completion('not on record')), {}],
    ['a stream', stream(answerEvents(['not on record'])), { stream: true }],
  ])('with another end does not let %s end well', async (_, answer, parameters) => {
    const upstream = await startUpstream(answer)
    const running = await startGateway({ upstream, place: await bed.place() })
    const { recorder } = running.stele
    let begun: BegunCall | undefined
    beginThrough(recorder, begin => async input => {
      begun = await begin(input)
      return begun
    })
    upstream.whenReceived(async () => {
      if (begun !== undefined) await recorder.settle(begun, { status: 'failed', errorCode: 'elsewhere' })
    })
    const reply = await running.post(questionOf('Hi', parameters))
    expect(reply.text).toContain('"code":"call_id_taken"')
    expect(reply.text).not.toContain('[DONE]')
    expect(reply.status).toBe('stream' in parameters ? 200 : 500)
    expect((await onlyCall(running)).call).toMatchObject({ status: 'failed', errorCode: 'elsewhere' })
  })
})

test('a commit that is applied twice, because its answer was lost, is no call of somebody else', async () => {
  const { recorder } = await (await sqlitePlace()).stele()
  const input = {
    userId: 'ada',
    provider: 'p',
    body: JSON.stringify(questionOf('Hi')),
    createdAt: Date.now(),
  }
  const call = await recorder.begin({ ...input, isNew: true })
  const outcome = { status: 'failed', createdAt: Date.now() } as const
  await recorder.settle(call, outcome, { once: true })
  expect(await recorder.settle(call, outcome, { once: true })).toMatchObject({ isRepeat: true })
  await expect(
    recorder.settle(call, { ...outcome, status: 'aborted' }, { once: true }),
  ).rejects.toMatchObject({ code: 'call_id_taken' })
  expect(await recorder.settle(call, { ...outcome, status: 'aborted' })).toMatchObject({ isRepeat: true })
})
