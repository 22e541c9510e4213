import { expect, test } from 'vitest'
import { begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import { describeEachDatabase, type Place } from '../harness/databases.ts'
import { type Running, startStele } from './run-stele.ts'

async function tail(place: Place, ...args: string[]): Promise<Running> {
  const running = await startStele(['calls', 'tail', ...args], { place })
  expect(await running.nextWord()).toContain('Waiting')
  return running
}

const idOf = (line: string): string => (JSON.parse(line) as { id: string }).id

describeEachDatabase('stele calls tail', bed => {
  test('prints each call once, when it is settled', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await exchange(stele, [user('before')], 'x')
    const early = await begin(stele, chatBody([user('under way at the start')]))
    const running = await tail(place, '--json')

    const slow = await begin(stele, chatBody([user('slow')]))
    const quick = await exchange(stele, [user('quick')], 'x')
    expect(idOf(await running.nextLine())).toBe(quick.call.callId)
    await stele.recorder.settle(slow, completed(completionBody('x')))
    expect(idOf(await running.nextLine())).toBe(slow.callId)
    await stele.recorder.settle(early, { status: 'aborted' })
    const last = JSON.parse(await running.nextLine()) as unknown
    expect(last).toMatchObject({
      id: early.callId,
      status: 'aborted',
      settled_at: expect.stringMatching(/Z$/),
    })
    expect(await running.stop('SIGINT')).toBe(0)
  })

  test('finds calls whose ids sort before one that was seen', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const running = await tail(place, '--json')
    const late = await exchange(stele, [user('made by a slow clock')], 'x')
    // An id made now, used after a younger one was printed.
    const { newId } = await import('../../src/ids.ts')
    const older = newId('call')
    const younger = await exchange(stele, [user('younger')], 'x')
    const first = [idOf(await running.nextLine()), idOf(await running.nextLine())]
    expect(first.sort()).toEqual([late.call.callId, younger.call.callId])
    await exchange(stele, [user('older')], 'x', { callId: older })
    expect(idOf(await running.nextLine())).toBe(older)
    expect(await running.stop('SIGTERM')).toBe(0)
  })

  test('prints a table of one user', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const running = await tail(place, '--user', 'bob')
    await exchange(stele, [user('of ada')], 'x')
    const { call } = await exchange(stele, [user('of bob')], 'x', { userId: 'bob' })
    expect(await running.nextLine()).toMatch(/^SETTLED +ID +STATUS +IN +OUT +MS +USER +MODEL$/)
    expect(await running.nextLine()).toMatch(
      new RegExp(`Z  ${call.callId} +completed +10 +5 +- +bob +test-model-2026$`),
    )
    expect(await running.stop('SIGINT')).toBe(0)
  })
})
