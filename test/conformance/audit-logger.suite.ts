import { expect, test } from 'vitest'
import { commitContent } from '../../src/audit/event-form.ts'
import { newAuditEventId } from '../../src/audit/events/application-event.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import { rotateDataKey } from '../../src/moving/rotate-data-key.ts'
import type { Stele } from '../../src/stele.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf, storedRowsOf } from '../harness/rows.ts'

const said = 'marigold-4417'

const blocked = {
  eventType: 'blocked_content',
  userId: 'ada',
  severity: 'warning',
  description: `PII detected: ${said}`,
  details: { reason: said },
} as const

const refused = [
  [{ eventType: '' }, 'missing_required_parameter'],
  [{ eventType: 'call.settled' }, 'invalid_value'],
  [{ eventType: 'app.call' }, 'invalid_value'],
  [{ eventType: 'two words' }, 'invalid_value'],
  [{ eventType: 'x'.repeat(129) }, 'invalid_value'],
  [{ userId: '' }, 'invalid_value'],
  [{ severity: 'loud' as 'info' }, 'invalid_value'],
  [{ category: 'food' as 'general' }, 'invalid_value'],
  [{ outcome: 'Not A Word' }, 'invalid_value'],
  [{ target: '\u0000' }, 'invalid_value'],
  [{ description: '\ud800' }, 'invalid_value'],
  [{ details: { text: 'x'.repeat(40_000) } }, 'invalid_value'],
  [{ details: [] as unknown as Record<string, unknown> }, 'invalid_value'],
  [{ id: 'evt_1' }, 'invalid_value'],
  [{ actor: '' }, 'invalid_value'],
] as const

/** Every byte of what is stored of an event, and of what was said in it. */
async function storedText({ database }: Stele): Promise<string> {
  const rows = [
    ...(await storedRowsOf(database, 'audit_events')),
    ...(await storedRowsOf(database, 'audit_details')),
    ...(await storedRowsOf(database, 'audit_log')),
    ...(await storedRowsOf(database, 'audit_queue')),
  ]
  return rows
    .flatMap(row => Object.values(row) as unknown[])
    .map(value => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value)))
    .join('\n')
}

export function auditLoggerSuite(bed: Bed): void {
  test('an event is on record with its category, and what is said of a user can be read', async () => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    const event = await stele.auditLogger.logEvent(blocked)
    expect(event).toMatchObject({
      action: 'app.blocked_content',
      eventType: 'blocked_content',
      category: 'security',
      severity: 'warning',
      outcome: 'success',
      actor: 'library',
      description: blocked.description,
      details: { reason: said },
      content: 'read',
    })
    expect(await stele.auditLogger.getUserAuditLogs('ada', { limit: 50 })).toEqual([event])
    expect(await stele.auditLogger.getLogsByType('blocked_content')).toEqual([event])
    expect(await stele.auditLogger.getLogsByType('other')).toEqual([])
    const [listed] = await stele.auditEvents.list({ userId: 'ada' })
    expect(listed).toMatchObject({
      id: event.id,
      content: 'kept',
      details: undefined,
      description: undefined,
    })
    expect(await storedText(stele)).not.toContain(said)
  })

  test('the event commits to what was said, with a salt that lies beside it', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.auditLogger.logEvent(blocked)
    const [row] = await rowsOf(stele, 'audit_details')
    const { salt, details } = JSON.parse(row?.content ?? '') as { salt: string; details: string }
    const event = (await rowsOf(stele, 'audit_events')).find(one => one.id === id)
    expect(Buffer.from(event?.commitment ?? [])).toEqual(commitContent(Buffer.from(salt, 'base64'), details))
    expect(JSON.parse(details)).toEqual({ description: blocked.description, details: blocked.details })
    await stele.auditLogger.logEvent(blocked)
    const commitments = (await rowsOf(stele, 'audit_events')).map(({ commitment }) => String(commitment))
    expect(new Set(commitments).size).toBe(2)
  })

  test('erasing a user takes what was said, and leaves the events', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { id } = await stele.auditLogger.logEvent(blocked)
    const nobodys = await stele.auditLogger.logEvent({ eventType: 'agent_started', details: { version: 7 } })
    await stele.erase('ada', { reason: 'as asked' })
    expect(await countOf(stele, 'audit_details')).toBe(0)
    expect(await stele.verifyErasure('ada')).toEqual([])
    const [event] = await stele.auditEvents.get(id, { withContent: true })
    expect(event).toMatchObject({ action: 'app.blocked_content', content: 'gone', details: undefined })
    expect(await stele.auditEvents.get(nobodys.id)).toMatchObject([
      { details: { version: 7 }, content: 'none' },
    ])
    // Of somebody who is erased nothing more is kept, and nobody comes back by being told of.
    const later = await stele.auditLogger.logEvent(blocked)
    expect(await stele.auditEvents.get(later.id, { withContent: true })).toMatchObject([{ content: 'gone' }])
    expect((await stele.users.get('ada'))?.status).toBe('erased')
    await stele.auditLog.sequence()
    expect(await stele.audit.verify()).toMatchObject({ verified: true })
  })

  test('under one id it is written once, and another is refused', async () => {
    const stele = await (await bed.place()).stele()
    const id = newAuditEventId()
    const tries = await Promise.all(
      Array.from({ length: 4 }, () => stele.auditLogger.logEvent({ ...blocked, id })),
    )
    expect(new Set(tries.map(event => event.id))).toEqual(new Set([id]))
    expect(await countOf(stele, 'audit_events')).toBe(1)
    expect(await countOf(stele, 'audit_details')).toBe(1)
    const again = await stele.auditLogger.logEvent({ ...blocked, id, details: { reason: 'another' } })
    expect(again.details).toEqual({ reason: said })
    await failure('already_exists', stele.auditLogger.logEvent({ ...blocked, id, severity: 'error' }))
  })

  test('several are written at once or not at all', async () => {
    const stele = await (await bed.place()).stele()
    const events = await stele.auditLogger.logEvents([blocked, { eventType: 'lunch' }, blocked])
    expect(events.map(({ category }) => category)).toEqual(['security', 'general', 'security'])
    expect(await countOf(stele, 'audit_queue')).toBe(1)
    const id = newAuditEventId()
    await stele.auditLogger.logEvent({ ...blocked, id })
    const before = await countOf(stele, 'audit_events')
    await failure(
      'already_exists',
      stele.auditLogger.logEvents([blocked, { ...blocked, id, severity: 'critical' }]),
    )
    expect(await countOf(stele, 'audit_events')).toBe(before)
  })

  test('what is no event is refused, and nothing of it written', async () => {
    const stele = await (await bed.place()).stele()
    for (const [change, code] of refused)
      await failure(code, stele.auditLogger.logEvent({ ...blocked, ...change }))
    expect(await countOf(stele, 'audit_events')).toBe(0)
  })

  test('nobody passes for Stele or its operator', async () => {
    const stele = await (await bed.place()).stele()
    for (const actor of ['operator', 'stele', 'library', 'operator:root', 'user:x'])
      expect((await stele.auditLogger.logEvent({ eventType: 'lunch', actor })).actor).toBe(`user:${actor}`)
    expect((await stele.auditLogger.logEvent({ eventType: 'lunch', actor: 'bob' })).actor).toBe('bob')
  })

  test('the words of the older surface are understood', async () => {
    const stele = await (await bed.place()).stele()
    const event = await stele.auditLogger.createAuditLog({
      userId: '1',
      eventType: 'blocked_content',
      eventCategory: 'compliance',
      severity: 'warning',
      description: 'PII detected in user input',
      extraMetadata: { pii_types: ['email', 'phone'] },
    })
    expect(event).toMatchObject({
      category: 'compliance',
      description: 'PII detected in user input',
      details: { pii_types: ['email', 'phone'] },
    })
  })

  test('what was said outlasts a new key, and goes along with exports and imports', async () => {
    const [source, target] = [await (await bed.place()).stele(), await (await bed.place()).stele()]
    const { id } = await source.auditLogger.logEvent(blocked)
    await rotateDataKey(source, 'ada')
    expect(await source.auditEvents.get(id, { withContent: true })).toMatchObject([
      { details: { reason: said } },
    ])
    let text = ''
    await exportLines(
      source.database,
      async lines => {
        text += lines
      },
      { userId: 'ada' },
    )
    expect(text).toContain(said)
    await importLines(
      target.database,
      target.hashes,
      (async function* () {
        yield Buffer.from(text)
      })(),
    )
    expect(await target.auditEvents.get(id, { withContent: true })).toMatchObject([
      { details: { reason: said } },
    ])
    expect(await storedText(target)).not.toContain(said)
  })

  test('where content is not kept, only the commitment is', async () => {
    const stele = await (await bed.place()).stele({ contentMode: 'hashed' })
    const { id } = await stele.auditLogger.logEvent(blocked)
    expect(await stele.auditEvents.get(id, { withContent: true })).toMatchObject([{ content: 'gone' }])
  })
}
