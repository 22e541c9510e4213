import { expect, test } from 'vitest'
import { begin, chatBody, settle, user } from '../harness/chat.ts'
import { outcomeOf } from '../harness/usage.ts'
import { errorOf, type Running, startGateway } from './running.ts'

async function call(running: Running, userId: string, model: string, costNanousd?: number): Promise<void> {
  const begun = await begin(running.stele, chatBody([user('a secret')], { model }), { userId })
  await settle(running.stele, begun, outcomeOf({ model, costNanousd, latencyMs: 40 }))
}

const get = async (running: Running, path: string, key = running.key) => {
  const reply = await running.send('GET', path, { headers: { authorization: `Bearer ${key}` } })
  return { reply, body: JSON.parse(reply.text) as Record<string, unknown> }
}

test('everybody sees what they use themselves, auditors and administrators what all do, nobody what was said', async () => {
  const running = await startGateway({})
  await call(running, 'ada', 'small', 5)
  await call(running, 'ada', 'large')
  await call(running, 'bob', 'small', 7)
  const today = new Date().toISOString().slice(0, 10)

  const own = await get(running, '/v1/usage')
  expect(own.reply.status).toBe(200)
  expect(own.body).toMatchObject({ object: 'list', user: 'ada', by: ['day', 'model'], has_more: false })
  expect(own.body['data']).toMatchObject([
    { object: 'usage', day: today, model: 'small', calls: 1, cost_nanousd: 5, unpriced_calls: 0 },
    { object: 'usage', day: today, model: 'large', calls: 1, cost_nanousd: 0, unpriced_calls: 1 },
  ])
  expect(own.body['total']).toMatchObject({ calls: 2, input_tokens: 20, latency_ms: { average: 40 } })

  const refused = await get(running, '/v1/usage?everyone=true')
  expect([refused.reply.status, errorOf(refused.reply).code]).toEqual([403, 'permission_denied'])

  const auditor = await running.newKey('eve', 'auditor')
  const all = await get(running, '/v1/usage?everyone=true&by=user&limit=1', auditor)
  expect(all.body).toMatchObject({ user: null, has_more: true, total: { calls: 3, cost_nanousd: 12 } })
  expect(all.body['data']).toMatchObject([{ user: 'bob', cost_nanousd: 7 }])
  const top = await get(running, '/v1/usage/conversations?everyone=true&order=calls', auditor)
  expect(top.body['data']).toHaveLength(3)
  for (const { reply } of [own, all, top]) expect(reply.text).not.toContain('a secret')
})

test.each([
  ['by=words', 'by'],
  ['by=day,day', 'by'],
  ['since=yesterday', 'since'],
  ['since=2026-02-02&until=2026-02-01', 'since'],
  ['everyone=perhaps', 'everyone'],
  ['everyone=true&user=ada', 'everyone'],
  ['limit=0', 'limit'],
])('a report of %s is refused and says why', async (query, param) => {
  const running = await startGateway({})
  const { reply } = await get(running, `/v1/usage?${query}`)
  expect(reply.status).toBe(400)
  expect(errorOf(reply)).toMatchObject({ code: 'invalid_value', param })
})
