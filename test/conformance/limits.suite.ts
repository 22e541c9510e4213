import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { CapChange } from '../../src/limits/caps.ts'
import type { LimitTarget } from '../../src/limits/targets.ts'
import type { BeginInput } from '../../src/recorder/begin-input.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, exchange, settle, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { bounded, used, usedOf } from '../harness/limits.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

const minute = 60_000
/** The same minute for all calls of a test, however long it takes. */
const thisMinute = (): number => Math.floor(Date.now() / minute) * minute + 1_000

/** How many of so many calls at once were let in. */
async function admitted(stele: Stele, count: number, input: Partial<BeginInput> = {}): Promise<number> {
  const body = input.body ?? chatBody([user('q')])
  const outcomes = await Promise.allSettled(Array.from({ length: count }, () => begin(stele, body, input)))
  return outcomes.filter(({ status }) => status === 'fulfilled').length
}

/** Limits hold, to the call and to the token, and their counters say what the calls on record come to. */
export function limitsSuite(bed: Bed): void {
  test('of racing calls against a cap exactly as many pass as it allows, and no provider would be asked for the others', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { requestsPerDay: 10 })
    expect(await admitted(stele, 50)).toBe(10)
    expect(await countOf(stele, 'llm_requests')).toBe(10)
    expect(await usedOf(stele, { user: 'ada' })).toEqual({ requestsPerDay: 10 })
    const refused = (await rowsOf(stele, 'audit_events')).filter(({ action }) => action === 'call.refused')
    expect(refused).toHaveLength(40)
    expect(refused[0]).toMatchObject({ user_id: 'ada', outcome: 'denied', severity: 'warning' })
    expect(await stele.limits.examine()).toEqual([])
  })

  test('two stores share a cap', async () => {
    const place = await bed.place()
    const steles = [await place.stele(), await place.stele(), await place.stele()] as const
    await steles[0].limits.set({}, { requestsPerDay: 10 })
    const passed = await Promise.all(steles.map(stele => admitted(stele, 20)))
    expect(passed.reduce((sum, count) => sum + count)).toBe(10)
    expect(await steles[0].limits.examine()).toEqual([])
  })

  test.each<[string, LimitTarget, CapChange]>([
    ['all', {}, { requestsPerMinute: 1 }],
    ['one user', { user: 'ada' }, { requestsPerMonth: 1 }],
    ['each user', { eachUser: true }, { requestsPerDay: 1 }],
    ['an API key', { key: 'key_1' }, { requestsPerDay: 1 }],
    ['a model', { model: 'test-model' }, { requestsPerDay: 1 }],
    ['a user and a model', { user: 'ada', model: 'test-model' }, { requestsPerDay: 1 }],
    ['a key and a model', { key: 'key_1', model: 'test-model' }, { requestsPerDay: 1 }],
  ])('a limit of %s holds for its calls alone', async (_, target, caps) => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set(target, caps)
    const createdAt = thisMinute()
    const ask = (input: Partial<BeginInput> = {}) =>
      begin(stele, chatBody([user(newId('message'))]), { apiKeyId: 'key_1', createdAt, ...input })
    await ask()
    const code = 'requestsPerMinute' in caps ? 'rate_limit_exceeded' : 'insufficient_quota'
    await failure(code, ask())
    const isOfUser = target.user !== undefined || target.eachUser === true
    const others: Partial<BeginInput>[] = [
      ...(isOfUser ? [{ userId: 'bob' }] : []),
      ...(target.key === undefined ? [] : [{ apiKeyId: 'key_2' }, { apiKeyId: undefined }]),
      ...(target.model === undefined ? [] : [{ requestModel: 'other-model' }]),
    ]
    for (const other of others) await ask(other)
    expect(await countOf(stele, 'llm_requests')).toBe(1 + others.length)
    expect(await stele.limits.examine()).toEqual([])
  })

  test('repeating a begin or a settle counts nothing twice, and a full limit does not refuse what is on record', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { requestsPerDay: 1, tokensPerDay: 1_000 })
    const callId = newId('call')
    const call = await begin(stele, bounded(100), { callId })
    expect((await begin(stele, bounded(100), { callId })).callId).toBe(callId)
    await settle(stele, call, used(10, 20))
    await settle(stele, call, used(10, 20))
    expect((await begin(stele, bounded(100), { callId })).reserved).toEqual(call.reserved)
    expect(await usedOf(stele, { user: 'ada' })).toEqual({ requestsPerDay: 1, tokensPerDay: 30 })
    expect(await stele.limits.examine()).toEqual([])
  })

  test('a limit that is set in the middle of a day knows what went before, settled and under way', async () => {
    const stele = await (await bed.place()).stele()
    await exchange(stele, [user('a')], 'one')
    await exchange(stele, [user('b')], 'two', { userId: 'bob' })
    const open = await begin(stele, bounded(100))
    const set = await stele.limits.set({ user: 'ada' }, { tokensPerDay: 10_000, requestsPerDay: 4 })
    expect(set.used).toEqual({ tokensPerDay: 15, requestsPerDay: 2 })
    // What is under way without a reservation counts from its end on.
    await settle(stele, open, used(7, 8))
    await exchange(stele, [user('c')], 'three')
    expect(await usedOf(stele, { user: 'ada' })).toEqual({ tokensPerDay: 45, requestsPerDay: 3 })
    expect(await admitted(stele, 5)).toBe(1)
    expect(await stele.limits.examine()).toEqual([])
  })

  test('counting begins anew after a limit was taken away and set again', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ eachUser: true }, { requestsPerDay: 5 })
    await exchange(stele, [user('a')], 'one')
    await stele.limits.remove({ eachUser: true })
    await exchange(stele, [user('b')], 'two')
    expect(await countOf(stele, 'limit_counters')).toBe(0)
    await stele.limits.set({ eachUser: true }, { requestsPerDay: 5 })
    expect(await admitted(stele, 5)).toBe(3)
    expect(await stele.limits.examine()).toEqual([])
  })

  test("a user's own caps take the place of those of each user, cap by cap", async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ eachUser: true }, { requestsPerDay: 1, tokensPerDay: 100_000 })
    await stele.limits.set({ user: 'ada' }, { requestsPerDay: 3 })
    await stele.limits.set({ user: 'eve' }, { requestsPerDay: 'unlimited' })
    expect(await admitted(stele, 5)).toBe(3)
    expect(await admitted(stele, 5, { userId: 'bob' })).toBe(1)
    expect(await admitted(stele, 5, { userId: 'eve' })).toBe(5)
    expect(await stele.limits.list({ user: 'bob' })).toMatchObject([
      { eachUser: true, caps: { requestsPerDay: 1 }, used: { requestsPerDay: 1 } },
    ])
    expect(await stele.limits.list({ user: 'ada' })).toMatchObject([
      { eachUser: true, used: { requestsPerDay: 3 } },
      { user: 'ada', used: { requestsPerDay: 3 } },
    ])
    await stele.limits.set({ user: 'ada' }, { requestsPerDay: null })
    await failure('insufficient_quota', begin(stele, chatBody([user('q')])))
    await failure('insufficient_quota', begin(stele, bounded(100_000), { userId: 'eve' }))
  })

  test('a change of a limit counts from the next call on, in every store', async () => {
    const place = await bed.place()
    const [here, there] = [await place.stele(), await place.stele()] as const
    expect(await admitted(there, 2)).toBe(2)
    await here.limits.set({}, { requestsPerDay: 2 })
    await failure('insufficient_quota', begin(there, chatBody([user('q')])))
    await here.limits.set({}, { requestsPerDay: 3 })
    await begin(there, chatBody([user('q')]))
    await here.limits.remove({})
    expect(await admitted(there, 3)).toBe(3)
  })

  test('configured caps hold for each user, and other stores count their calls for them', async () => {
    const place = await bed.place()
    const capped = await place.stele({ limits: { eachUser: { requestsPerDay: 3 } } })
    const free = await place.stele()
    await begin(capped, chatBody([user('q')]))
    expect(await admitted(free, 2)).toBe(2)
    await failure('insufficient_quota', begin(capped, chatBody([user('q')])))
    expect(await admitted(free, 2)).toBe(2)
    await begin(capped, chatBody([user('q')]), { userId: 'bob' })
    expect(await capped.limits.examine()).toEqual([])
  })

  test('a comparison is let in whole or not at all', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { requestsPerDay: 5 })
    const compare = () => {
      const groupId = newId('call')
      const inputs = [0, 1, 2].map(index => ({
        userId: 'ada',
        provider: 'test',
        body: chatBody([user('q')]),
        callId: index === 0 ? groupId : newId('call'),
        groupId,
        routeMode: 'compare' as const,
      }))
      return stele.recorder.beginAll(inputs)
    }
    expect(await compare()).toHaveLength(3)
    await failure('insufficient_quota', compare())
    expect(await countOf(stele, 'llm_requests')).toBe(3)
    expect(await admitted(stele, 5)).toBe(2)
  })

  test('calls that were made elsewhere are counted and never refused', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { requestsPerDay: 1, tokensPerDay: 10 })
    for (const text of ['a', 'b'])
      await stele.saveInteraction({
        userId: 'ada',
        model: 'm',
        messages: [user(text)],
        responseText: 'hi',
        inputTokens: 6,
        outputTokens: 2,
      })
    expect(await usedOf(stele, { user: 'ada' })).toEqual({ requestsPerDay: 2, tokensPerDay: 16 })
    await failure('insufficient_quota', begin(stele, chatBody([user('q')])))
    expect(await stele.limits.examine()).toEqual([])
  })

  test('what a killed process had held back stays counted, as nobody knows what became of it', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await stele.limits.set({}, { requestsPerDay: 10, tokensPerDay: 1_000_000 })
    const child = startChild('begin-calls.ts', place, { begin: 4, settle: 1 })
    await child.next()
    const before = await usedOf(stele, {})
    await child.kill()
    expect(await stele.recorder.start()).toBe(3)
    expect(await usedOf(stele, {})).toEqual(before)
    expect(before['requestsPerDay']).toBe(4)
    expect(await admitted(stele, 20)).toBe(6)
    expect(await stele.limits.examine()).toEqual([])
  })

  test('a further attempt is no further request, but to a limit of its model', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { requestsPerDay: 1 })
    await stele.limits.set({ model: 'test-model' }, { requestsPerDay: 2 })
    const body = chatBody([user('q')])
    const first = await begin(stele, body)
    await settle(stele, first, { status: 'failed', errorCode: 'provider_error' })
    const again = { groupId: first.callId, routeMode: 'retry' } as const
    await begin(stele, body, again)
    await failure('insufficient_quota', begin(stele, body, again))
    expect(await stele.limits.examine()).toEqual([])
  })

  test('with no limit nothing is kept beside the calls, and a call under one of requests reserves nothing', async () => {
    const stele = await (await bed.place()).stele()
    await exchange(stele, [user('a')], 'one')
    for (const table of ['limit_state', 'limits', 'limit_counters'] as const)
      expect(await countOf(stele, table)).toBe(0)
    await stele.limits.set({ user: 'ada' }, { requestsPerDay: 5 })
    await begin(stele, chatBody([user('b')]))
    await begin(stele, chatBody([user('b')]), { userId: 'bob' })
    expect(await rowsOf(stele, 'limit_counters')).toHaveLength(1)
    const requests = await rowsOf(stele, 'llm_requests')
    expect(requests.map(row => row.reserved_tokens)).toEqual([null, null, null])
  })

  test('a day is that of the time zone, and is counted anew when that changes', async () => {
    const place = await bed.place()
    const stele = await place.stele({ limits: { timeZone: 'Pacific/Kiritimati' } })
    await stele.limits.set({}, { requestsPerDay: 100, requestsPerMinute: 100 })
    await exchange(stele, [user('a')], 'one')
    const day = async () => (await rowsOf(stele, 'limit_counters')).find(({ period }) => period === 'day')
    const hours = 3_600_000
    expect(((await day())?.window_start ?? 0) % (24 * hours)).toBe(10 * hours)
    await stele.limits.setTimeZone('America/Los_Angeles')
    expect(await day()).toBeUndefined()
    await exchange(stele, [user('b')], 'two')
    expect(((await day())?.window_start ?? 0) % (24 * hours)).toBeOneOf([7 * hours, 8 * hours])
    expect(await stele.limits.examine()).toEqual([])
  })

  test('a counter that somebody has changed is found and put right', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({ user: 'ada' }, { requestsPerDay: 5 })
    await exchange(stele, [user('a')], 'one')
    await stele.database.kysely.updateTable('limit_counters').set({ requests: 4, tokens: 1 }).execute()
    expect(await stele.limits.repair()).toMatchObject([
      { subject: 'ada', counted: { requests: 4, tokens: 1 }, calls: { requests: 1, tokens: 15 } },
    ])
    expect(await stele.limits.examine()).toEqual([])
    expect(await admitted(stele, 9)).toBe(4)
  })

  test('calls that the retention has let go stay in the counters of their month', async () => {
    const stele = await (await bed.place()).stele({ retention: { metadataDays: 1 } })
    const caps = { requestsPerMonth: 5, requestsPerDay: 9 }
    await stele.limits.set({}, caps)
    await exchange(stele, [user('a')], 'one')
    await exchange(stele, [user('b')], 'two')
    await stele.retention.run({ now: Date.now() + 2 * 86_400_000 })
    expect(await countOf(stele, 'llm_requests')).toBe(0)
    expect(await stele.limits.examine()).toEqual([])
    expect(await stele.limits.repair()).toEqual([])
    expect(await usedOf(stele, {})).toEqual({ requestsPerMonth: 2, requestsPerDay: 2 })
    // What is less than the calls that are left is still found.
    await exchange(stele, [user('c')], 'three')
    await stele.database.kysely.updateTable('limit_counters').set({ requests: 0 }).execute()
    expect(await stele.limits.repair()).toHaveLength(2)
    expect(await usedOf(stele, {})).toEqual({ requestsPerMonth: 1, requestsPerDay: 1 })
  })

  test('limits are listed by what they are for, and refused when they make no sense', async () => {
    const stele = await (await bed.place()).stele()
    await stele.limits.set({}, { nanousdPerDay: 5_000_000_000 })
    await stele.limits.set({ user: 'ada' }, { tokensPerDay: 10, requestsPerDay: 'unlimited' })
    expect(await stele.limits.list()).toMatchObject([
      { caps: { nanousdPerDay: 5_000_000_000 }, used: { nanousdPerDay: 0 } },
      { user: 'ada', caps: { tokensPerDay: 10, requestsPerDay: 'unlimited' } },
    ])
    await failure('limit_not_found', stele.limits.remove({ user: 'bob' }))
    await failure('invalid_value', stele.limits.set({ user: 'ada', key: 'key_1' }, { tokensPerDay: 1 }))
    await failure('invalid_value', stele.limits.set({ user: 'ada' }, { tokensPerDay: -1 }))
    await failure('invalid_value', stele.limits.set({ user: 'ada' }, { tokensPerHour: 1 } as never))
    await failure('invalid_value', stele.limits.set({ user: 'ada' }, {}))
    await failure('invalid_value', stele.limits.set({ model: 'm' }, { tokensPerDay: 'unlimited' }))
    await failure('invalid_value', stele.limits.setTimeZone('Mars/Olympus'))
  })
}
