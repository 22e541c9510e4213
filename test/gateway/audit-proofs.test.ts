import { expect, test } from 'vitest'
import { verifyAuditProof } from '../../src/audit/verify/proof.ts'
import { noteEvents, vkeysOf } from '../harness/audited.ts'
import { errorOf, startGateway } from './running.ts'

test('auditors get proofs that whoever has the public key verifies', async () => {
  const running = await startGateway()
  const { stele } = running
  await noteEvents(stele, 20)
  const keys = await vkeysOf(stele)
  const headers = { authorization: `Bearer ${await running.newKey('root', 'auditor')}` }
  const ask = (path: string) => running.send('GET', path, { headers })
  const [event] = await stele.auditEvents.list({ action: 'app.created', limit: 1 })
  const proof = await ask(`/v1/audit_events/${event?.id}/proof`)
  expect(proof.status).toBe(200)
  expect(verifyAuditProof(proof.text, keys)).toMatchObject({ verified: true })
  expect((await ask(`/v1/audit_events/${event?.id}/proof?user=${event?.userId}`)).status).toBe(200)
  const others = await ask(`/v1/audit_events/${event?.id}/proof?user=nobody`)
  expect([others.status, errorOf(others).code]).toEqual([404, 'audit_event_not_found'])

  const size = (await stele.auditLog.latest())?.size ?? 0
  const grown = await ask('/v1/audit/consistency?from=7')
  expect(verifyAuditProof(grown.text, keys)).toMatchObject({
    verified: true,
    proves: expect.stringContaining(`of ${size} entries begins with that of 7`),
  })
  expect((await ask(`/v1/audit/consistency?from=3&to=${size}`)).status).toBe(200)
  for (const wrong of ['from=x', 'from=-1', 'from=9&to=8', `to=${size + 1}`, 'from=1&from=2']) {
    const refused = await ask(`/v1/audit/consistency?${wrong}`)
    expect([refused.status, errorOf(refused).code], wrong).toEqual([400, 'invalid_value'])
  }
})
