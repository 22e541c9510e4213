import { expect, test } from 'vitest'
import { verifyAuditExport } from '../../src/audit/verify/export.ts'
import { verifyAuditProof } from '../../src/audit/verify/proof.ts'
import { exported, noteEvents, takeAll, vkeysOf } from '../harness/audited.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { rowsOf } from '../harness/rows.ts'

async function* bytes(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}

export function auditProofsSuite(bed: Bed): void {
  test('a log is verified whole, from a kept checkpoint on, and by its export', async () => {
    const stele = await (await bed.place()).stele()
    expect(await stele.audit.verify()).toMatchObject({ verified: true, entries: 0 })
    await noteEvents(stele, 300, 3)
    const first = await stele.audit.verify()
    expect(first).toMatchObject({ verified: true, fault: undefined, size: 300, entries: 300, pending: 0 })
    expect(first.checkpoints).toBeGreaterThanOrEqual(3)

    await exchange(stele, [user('q')], 'a')
    await noteEvents(stele, 20, 1)
    const kept = [first.checkpoint ?? '']
    const seen: number[] = []
    const later = await stele.audit.verify({
      checkpoints: kept,
      incremental: true,
      onProgress: (done, total) => seen.push(done, total),
    })
    const { size } = later
    expect(size).toBeGreaterThan(320)
    expect(later).toMatchObject({ verified: true, entries: size - 300 })
    expect(seen).toEqual([size - 300, size - 300])
    expect(await stele.audit.verify({ checkpoints: kept })).toMatchObject({ verified: true, entries: size })

    const keys = await vkeysOf(stele)
    expect(await stele.audit.verify({ keys })).toMatchObject({ verified: true })
    const { text, events } = await exported(stele)
    expect(events).toBe(size)
    expect(await verifyAuditExport(bytes(text), { keys, checkpoints: kept })).toMatchObject({
      verified: true,
      entries: size,
      size,
    })
  })

  test('one user and a stretch of time are exported with the proof of each event', async () => {
    const stele = await (await bed.place()).stele()
    await failure('audit_log_empty', exported(stele, { userId: 'user-1' }))
    await noteEvents(stele, 40)
    const keys = await vkeysOf(stele)
    const { text, events } = await exported(stele, { userId: 'user-1' })
    expect(events).toBe(13)
    expect(text).toContain('not that there are no others')
    expect(await verifyAuditExport(bytes(text), { keys })).toMatchObject({
      verified: true,
      entries: 13,
      complete: false,
    })
    const bare = await exported(stele, { userId: 'user-1', proofs: false })
    expect(bare.text).toContain('A selection without proofs')
    expect(await verifyAuditExport(bytes(bare.text), { keys })).toMatchObject({ verified: false })
    const rows = await rowsOf(stele, 'audit_events')
    const times = rows.map(row => row.created_at).sort((a, b) => a - b)
    const [since = 0, until = 0] = [times[10], times[30]]
    const some = await exported(stele, { since, until })
    expect(some.events).toBe(times.filter(time => time >= since && time < until).length)
    expect(await verifyAuditExport(bytes(some.text), { keys })).toMatchObject({ verified: true })
    expect((await exported(stele, { userId: 'nobody' })).events).toBe(0)
  })

  test('an event is proven, and the growth of the log', async () => {
    const stele = await (await bed.place()).stele()
    await noteEvents(stele, 30)
    const keys = await vkeysOf(stele)
    const [row] = (await rowsOf(stele, 'audit_events')).filter(({ target }) => target === 'thing-17')
    const proof = await stele.audit.prove(row?.id ?? '')
    expect(proof.entry).toMatchObject({ index: 17, event: { id: row?.id, target: 'thing-17', v: 1 } })
    expect(verifyAuditProof(JSON.stringify(proof), keys)).toMatchObject({
      verified: true,
      proves: expect.stringContaining(`${row?.id} is entry 17 of the log`),
    })
    const denied = JSON.stringify(proof).replace('"outcome":"denied"', '"outcome":"success"')
    expect(verifyAuditProof(denied, keys)).toMatchObject({
      verified: false,
      fault: { index: 17, eventId: row?.id },
    })
    await failure('audit_event_not_found', stele.audit.prove('evt_01h455vb4pex5vsknk084sn02q'))
    await failure('audit_event_not_found', stele.audit.prove(row?.id ?? '', 'somebody-else'))

    const before = (await stele.auditLog.latest())?.size ?? 0
    await noteEvents(stele, 10)
    const grown = await stele.audit.consistency({ from: before })
    expect(grown.to.size).toBe(40)
    expect(verifyAuditProof(JSON.stringify(grown), keys)).toMatchObject({ verified: true })
    const bent = { ...grown, proof: grown.proof.toReversed() }
    expect(verifyAuditProof(JSON.stringify(bent), keys)).toMatchObject({ verified: false })
    expect(
      verifyAuditProof(JSON.stringify({ ...grown, from: { ...grown.from, size: 29 } }), keys),
    ).toMatchObject({
      verified: false,
    })
    expect(verifyAuditProof(JSON.stringify(grown), [])).toMatchObject({ verified: false })
    await failure('invalid_value', stele.audit.consistency({ from: 41 }))
    await failure('invalid_value', stele.audit.consistency({ from: 5, to: 4 }))
    await failure('invalid_value', stele.audit.consistency({ from: 0.5 }))
    for (const nonsense of [
      '',
      '{}',
      '[]',
      '{"audit_proof":1}',
      '{"audit_consistency":1,"from":1,"to":2,"proof":[]}',
    ])
      expect(verifyAuditProof(nonsense, keys), nonsense).toMatchObject({ verified: false })
  })

  test('an event that waits is no fault, and not proven', async () => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    await stele.auditEvents.add({ userId: 'ada', by: {}, action: 'usage.repaired' })
    expect(await stele.audit.verify()).toMatchObject({ verified: true, entries: 0, pending: 1 })
    const [row] = await rowsOf(stele, 'audit_events')
    const error = await failure('audit_event_pending', stele.audit.prove(row?.id ?? ''))
    expect(error.retryable).toBe(true)
  })

  test('after a rotation of the key both checkpoints are verified', async () => {
    const stele = await (await bed.place()).stele()
    await noteEvents(stele, 10)
    const [old = ''] = await vkeysOf(stele)
    const { checkpoint = '' } = await stele.audit.verify()
    const { vkey } = await stele.auditLog.rotateKey()
    await noteEvents(stele, 10)
    await takeAll(stele)
    expect(await stele.audit.verify({ checkpoints: [checkpoint] })).toMatchObject({
      verified: true,
      size: 21,
    })
    const { text } = await exported(stele)
    expect(
      await verifyAuditExport(bytes(text), { keys: [old, vkey], checkpoints: [checkpoint] }),
    ).toMatchObject({
      verified: true,
      size: 21,
    })
  })
}
