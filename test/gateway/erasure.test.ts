import { expect, test } from 'vitest'
import { exchange, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { headersOf } from './isolation-recipes.ts'
import { errorOf, type Running, startGateway } from './running.ts'

function eraseOver(
  { send }: Running,
  who: string,
  key: string,
  body: object,
  more: Record<string, string> = {},
) {
  return send('POST', `/v1/users/${encodeURIComponent(who)}/erase`, {
    headers: headersOf(key, more),
    body: JSON.stringify(body),
  })
}

describeEachDatabase('erasing over HTTP', bed => {
  test('one erases oneself, and the key is of no use from then on', async () => {
    const running = await startGateway({ place: await bed.place() })
    const key = await running.newKey('bob')
    await exchange(running.stele, [user('of bob')], 'b', { userId: 'bob' })
    const unsure = await eraseOver(running, 'bob', key, { confirm: 'ada' })
    expect([unsure.status, errorOf(unsure).param]).toEqual([400, 'confirm'])
    const reply = await eraseOver(running, 'bob', key, { confirm: 'bob', reason: 'enough' })
    expect(reply.status, reply.text).toBe(200)
    const told = JSON.parse(reply.text)
    expect(told).toMatchObject({ object: 'user.erasure', user: 'bob', erased: true, remains: [] })
    expect(told.rows).toMatchObject({ messages: 2, conversations: 1, api_keys: 1 })
    expect((await eraseOver(running, 'bob', key, { confirm: 'bob' })).status).toBe(401)
    const events = (await rowsOf(running.stele, 'audit_events')).filter(
      ({ action }) => action === 'user.erased',
    )
    expect(events).toMatchObject([{ user_id: 'bob', actor: 'bob' }])
  })

  test('an application erases its users and an administrator anybody, nobody else another', async () => {
    const running = await startGateway({ place: await bed.place() })
    const { stele, newKey } = running
    for (const userId of ['eve', 'ivy/of the left', 'boss'])
      await exchange(stele, [user('hello')], 'h', { userId })
    await stele.users.setStanding('boss', { role: 'admin' })
    const [member, service, admin] = [
      await newKey('m'),
      await newKey('app', 'service'),
      await newKey('root', 'admin'),
    ]
    const code = async (...given: [string, string, object, Record<string, string>?]) => {
      const reply = await eraseOver(running, ...given)
      return reply.status === 200 ? 200 : errorOf(reply).code
    }
    expect(await code('eve', member, { confirm: 'eve' })).toBe('permission_denied')
    expect(await code('eve', service, { confirm: 'eve' }, { 'x-stele-user': 'bob' })).toBe(
      'permission_denied',
    )
    expect(await code('boss', service, { confirm: 'boss' })).toBe('permission_denied')
    expect(await code('nobody', service, { confirm: 'nobody' })).toBe('user_not_found')
    expect((await rowsOf(stele, 'messages')).length).toBe(6)
    expect(await code('eve', service, { confirm: 'eve' })).toBe(200)
    expect(await code('ivy/of the left', admin, { confirm: 'ivy/of the left' })).toBe(200)
    expect(await code('boss', admin, { confirm: 'boss' })).toBe(200)
    expect(await rowsOf(stele, 'messages')).toEqual([])
  })
})
