import { expect, test } from 'vitest'
import { errorOf, type RawReply, startGateway } from './running.ts'

const bearer = (key: string) => ({ authorization: `Bearer ${key}`, 'content-type': 'application/json' })
const json = (reply: RawReply) => JSON.parse(reply.text) as Record<string, never>

test('a service puts events on record; an auditor reads them, and nothing that was said of a user', async () => {
  const running = await startGateway()
  const service = await running.newKey('app', 'service')
  const auditor = await running.newKey('olga', 'auditor')
  const admin = await running.newKey('root', 'admin')
  const send = (method: string, path: string, key: string, body?: object) =>
    running.send(method, path, { headers: bearer(key), ...(body && { body: JSON.stringify(body) }) })
  const said = {
    event_type: 'blocked_content',
    user: 'ada',
    severity: 'warning',
    details: { word: 'marigold' },
  }

  const made = await send('POST', '/v1/audit_events', service, said)
  expect(json(made)).toMatchObject({
    action: 'app.blocked_content',
    actor: 'app',
    user: 'ada',
    category: 'security',
  })
  const several = await send('POST', '/v1/audit_events', service, { events: [{ event_type: 'lunch' }, said] })
  expect(json(several)['data']).toHaveLength(2)
  const { id } = json(made) as unknown as { id: string }

  const listed = await send('GET', '/v1/audit_events?user=ada&action=app.blocked_content', auditor)
  expect(json(listed)['data']).toMatchObject([
    { content: 'kept', details: null },
    { id, details: null },
  ])
  expect(listed.text).not.toContain('marigold')
  expect((await send('GET', `/v1/audit_events/${id}`, auditor)).text).not.toContain('marigold')
  expect((await send('GET', `/v1/audit_events/${id}?content=true`, auditor)).status).toBe(403)
  expect(errorOf(await send('GET', `/v1/audit_events/${id}?content=true`, admin)).code).toBe(
    'break_glass_required',
  )
  const grant = { user: 'ada', reason: 'ticket 4711: what was blocked', expires_in: 60 }
  expect((await send('POST', '/v1/break_glass', admin, grant)).status).toBe(200)
  expect((await send('GET', `/v1/audit_events/${id}?content=true`, admin)).text).toContain('marigold')
  const uses = await send('GET', '/v1/audit_events?action=break_glass.used', auditor)
  expect(json(uses)['data']).toMatchObject([{ user: 'ada', actor: 'root' }])

  const stats = json(await send('GET', '/v1/audit_events/stats', auditor))
  expect(stats['data']).toContainEqual(expect.objectContaining({ action: 'app.blocked_content', events: 2 }))
  for (const [key, status] of [
    [running.key, 403],
    [auditor, 403],
    [admin, 200],
  ] as const)
    expect((await send('POST', '/v1/audit_events', key, { event_type: 'lunch' })).status).toBe(status)
  for (const body of [
    {},
    { event_type: 'call.settled' },
    { event_type: 'x', severity: 'loud' },
    { events: [] },
  ])
    expect((await send('POST', '/v1/audit_events', service, body)).status, JSON.stringify(body)).toBe(400)
  for (const query of ['severity=loud', 'since=yesterday', 'after=evt_1', 'limit=0', 'category=food'])
    expect((await send('GET', `/v1/audit_events?${query}`, auditor)).status, query).toBe(400)
  expect((await send('GET', '/v1/audit_events/evt_01h455vb4pex5vsknk084sn02q', auditor)).status).toBe(404)
})

test('pages of the list follow one another', async () => {
  const running = await startGateway()
  const auditor = await running.newKey('olga', 'auditor')
  for (let n = 0; n < 5; n++) await running.stele.auditLogger.logEvent({ eventType: `n${n}` })
  const ids: string[] = []
  for (let after = ''; ; ) {
    const path = `/v1/audit_events?category=general&limit=2&after=${after}`
    const page = json(await running.send('GET', path, { headers: bearer(auditor) })) as unknown as {
      data: { event_type: string; log_index: number | null }[]
      last_id: string
      has_more: boolean
    }
    ids.push(...page.data.map(event => event.event_type))
    for (const event of page.data) expect(event).toHaveProperty('log_index')
    if (!page.has_more) break
    after = page.last_id
  }
  expect(ids).toEqual(['n4', 'n3', 'n2', 'n1', 'n0'])
})

test('who is not let in, and who may not, is on record; of a flood not every one', async () => {
  const running = await startGateway()
  for (const key of ['sk-made-up', ...Array.from({ length: 60 }, () => running.key)])
    await running.send('GET', '/v1/users', { headers: bearer(key) })
  const denied = await running.stele.auditEvents.list({ action: 'permission.denied' })
  const rejected = await running.stele.auditEvents.list({ action: 'api_key.rejected' })
  expect(denied[0]).toMatchObject({
    userId: 'ada',
    details: { permission: 'users:read', route: 'GET /v1/users' },
  })
  expect(rejected).toMatchObject([{ userId: '', outcome: 'denied' }])
  expect(denied.length).toBeGreaterThanOrEqual(29)
  expect(denied.length).toBeLessThan(60)
  expect(JSON.stringify([denied, rejected])).not.toContain('made-up')
})

test('masking that fired is on record with its call, by kinds alone', async () => {
  const running = await startGateway({ config: { maskPiiInLogs: true } })
  const ask = (content: string) => running.post({ model: 'echo', messages: [{ role: 'user', content }] })
  await ask('write to ada@example.org and bob@example.org')
  await ask('nothing here')
  const events = await running.stele.auditEvents.list({ action: 'masking.applied' })
  expect(events).toMatchObject([{ userId: 'ada', details: { kinds: { EMAIL: 2 }, in: ['storage'] } }])
  expect(events).toHaveLength(1)
  expect(
    (await running.stele.auditEvents.list({ action: 'call.settled' })).map(({ target }) => target),
  ).toContain(events[0]?.target)
})
