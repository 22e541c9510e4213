import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

/** A call that failed, its retry that failed, and a fallback that answered. Returns their ids. */
async function threeAttempts(stele: Stele): Promise<[string, string, string]> {
  const body = chatBody([user('q')])
  const groupId = newId('call')
  const first = await begin(stele, body, { callId: groupId, groupId, provider: 'one' })
  const failed = { status: 'failed', httpStatus: 503, errorCode: 'provider_error' } as const
  await stele.recorder.settle(first, failed)
  const second = await begin(stele, body, { groupId, routeMode: 'retry', provider: 'one' })
  await stele.recorder.settle(second, failed)
  const third = await begin(stele, body, { groupId, routeMode: 'fallback', provider: 'two' })
  await stele.recorder.settle(third, completed(completionBody('a')))
  return [first.callId, second.callId, third.callId]
}

describeEachDatabase('stele calls with several attempts', bed => {
  test('show tells which attempt a call was, and --group lists all of them by the id of any', async () => {
    const place = await bed.place()
    const ids = await threeAttempts(await place.stele())
    const { stdout } = await runStele(['calls', 'show', ids[2]], { place })
    expect(stdout).toMatch(/^attempt +3 fallback$/m)
    expect(stdout).toMatch(new RegExp(`^group +${ids[0]}$`, 'm'))
    expect(stdout).toMatch(/^provider +two$/m)
    for (const id of [ids[0], ids[1]]) {
      const { code, stdout: table } = await runStele(['calls', 'show', id, '--group'], { place })
      expect(code).toBe(0)
      const [head, ...rows] = table.trimEnd().split('\n')
      expect(head).toMatch(/^ID +TIME +ATTEMPT +PROVIDER +MODEL +STATUS +HTTP +MS +ERROR$/)
      expect(rows.map(row => row.split(' ')[0])).toEqual(ids)
      expect(rows.map(row => row.split(/ {2,}/).slice(2).join(' '))).toEqual([
        '1 one test-model failed 503 - provider_error',
        '2 retry one test-model failed 503 - provider_error',
        '3 fallback two test-model completed 200 - -',
      ])
    }
    expect(await runJson(['calls', 'show', ids[1], '--group', '--json'], { place })).toMatchObject([
      { id: ids[0], attempt: 1, route_mode: null, group_id: ids[0], status: 'failed' },
      { id: ids[1], attempt: 2, route_mode: 'retry', group_id: ids[0], status: 'failed' },
      { id: ids[2], attempt: 3, route_mode: 'fallback', group_id: ids[0], status: 'completed' },
    ])
  })

  test('list tells attempts and groups where there are any', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { call } = await exchange(stele, [user('alone')], 'a')
    expect((await runStele(['calls', 'list'], { place })).stdout).not.toContain('ATTEMPT')
    const ids = await threeAttempts(stele)
    const { stdout } = await runStele(['calls', 'list'], { place })
    expect(stdout).toMatch(new RegExp(`^${ids[1]} .* 2 retry +${ids[0]}$`, 'm'))
    expect(stdout).toMatch(new RegExp(`^${call.callId} .* 1 +${call.callId}$`, 'm'))
  })
})

test('--group goes with neither --request nor --response', async () => {
  for (const option of ['--request', '--response']) {
    const { code, stderr } = await runStele(['calls', 'show', newId('call'), '--group', option])
    expect(code).toBe(2)
    expect(stderr).toContain('cannot be used with')
  }
})
