import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

/** Events of every kind that a filter tells apart; half of them in the log, the others waiting for it. */
async function lived(stele: Stele): Promise<void> {
  await stele.users.create('ada')
  await nextMillisecond()
  await stele.users.setStanding('ada', { status: 'suspended' }, { userId: 'root' })
  await nextMillisecond()
  await stele.users.create('bob')
  await nextMillisecond()
  await exchange(stele, [user('hello')], 'hi', { userId: 'ada' })
  await stele.auditLog.sequence()
  await stele.users.setStanding('ada', { status: 'active' }, { userId: 'root' })
  await nextMillisecond()
  await stele.auditEvents.add({ userId: 'bob', by: operator, action: 'login.failed', outcome: 'failure' })
  await nextMillisecond()
  await stele.auditLogger.logEvent({ eventType: 'lunch', userId: 'bob', severity: 'error', target: 'soup' })
}

/** Events of one millisecond are in no order before the log gives them one. */
async function nextMillisecond(): Promise<void> {
  for (const now = Date.now(); Date.now() === now; ) await nextTurn()
}

const inOrder = [
  'app.lunch',
  'login.failed',
  'user.status_changed',
  'call.settled',
  'call.begun',
  'user.created',
  'user.status_changed',
  'user.created',
]

export function auditListsSuite(bed: Bed): void {
  test('each filter finds what it names, in the log and before it', async () => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    await lived(stele)
    const found = async (filter: Parameters<Stele['auditEvents']['list']>[0]): Promise<string[]> =>
      (await stele.auditEvents.list(filter)).map(({ action }) => action)
    for (const isLogged of [false, true]) {
      if (isLogged) await stele.auditLog.sequence()
      expect(await found({})).toEqual(inOrder)
      expect(await found({ limit: 2 })).toEqual(inOrder.slice(0, 2))
      expect(await found({ userId: 'bob' })).toEqual(['app.lunch', 'login.failed', 'user.created'])
      expect(await found({ action: 'user.status_changed' })).toHaveLength(2)
      expect(await found({ action: 'call.begun' })).toHaveLength(1)
      expect(await found({ action: 'app.lunch' })).toHaveLength(1)
      expect(await found({ category: 'access' })).toEqual(['call.settled', 'call.begun'])
      expect(await found({ category: 'general' })).toEqual(['app.lunch'])
      expect(await found({ severity: 'error' })).toEqual(['app.lunch'])
      expect(await found({ severity: 'warning' })).toEqual([
        'login.failed',
        'user.status_changed',
        'user.status_changed',
      ])
      expect(await found({ outcome: 'failure' })).toEqual(['login.failed'])
      expect(await found({ actor: 'root' })).toEqual(['user.status_changed', 'user.status_changed'])
      expect(await found({ target: 'soup' })).toEqual(['app.lunch'])
      expect(await found({ target: 'ada' })).toHaveLength(3)
      expect(await found({ userId: 'ada', actor: 'root', severity: 'warning' })).toHaveLength(2)
      expect(await found({ userId: 'ada', actor: 'nobody' })).toEqual([])
      expect(await found({ since: Date.now() + 60_000 })).toEqual([])
      expect(await found({ since: Date.now() - 60_000, until: Date.now() + 60_000 })).toEqual(inOrder)
      expect(await found({ until: Date.now() - 60_000 })).toEqual([])
    }
  })

  test('pages follow one another while the log takes in what waits', async () => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    await lived(stele)
    for (const limit of [1, 3, 8, 9]) {
      const told: string[] = []
      for (let before: string | undefined; ; ) {
        const { events, next } = await stele.auditEvents.page({ limit, before })
        told.push(...events.map(({ action }) => action))
        if (next === undefined) break
        before = next
        // What has been told stays behind the cursor, wherever it is by now.
        if (told.length === 1) await stele.auditLog.sequence()
      }
      expect(told).toEqual(inOrder)
    }
    await failure('invalid_value', stele.auditEvents.list({ before: 'evt_01h455vb4pex5vsknk084sn02q' }))
    await failure('invalid_value', stele.auditEvents.list({ before: '\u0000' }))
  })

  test('the order is that of the log, whatever the clocks say', async () => {
    const place = await bed.place()
    const stele = await place.stele({ audit: { sequence: false } })
    const late = 'evt_7zzzzzzzzze0080000000000zz'
    await stele.auditLogger.logEvent({ eventType: 'first', id: late })
    await stele.auditLog.sequence()
    await stele.auditLogger.logEvent({ eventType: 'second' })
    for (const isLogged of [false, true]) {
      if (isLogged) await stele.auditLog.sequence()
      const events = await stele.auditEvents.list({})
      expect(events.map(({ eventType }) => eventType)).toEqual(['second', 'first'])
    }
  })

  test('counts are those of the events, in the log or not', async () => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    await lived(stele)
    const day = new Date().toISOString().slice(0, 10)
    for (const isLogged of [false, true]) {
      if (isLogged) await stele.auditLog.sequence()
      const counts = await stele.auditEvents.stats()
      expect(counts.reduce((sum, { events }) => sum + events, 0)).toBe(inOrder.length)
      expect(counts.find(({ action }) => action === 'user.status_changed')).toEqual({
        day,
        action: 'user.status_changed',
        category: 'security',
        severity: 'warning',
        events: 2,
        pending: isLogged ? 0 : 1,
      })
      const own = await stele.auditEvents.stats({ userId: 'bob' })
      expect(own.map(({ action, events }) => [action, events])).toEqual([
        ['app.lunch', 1],
        ['login.failed', 1],
        ['user.created', 1],
      ])
      expect(await stele.auditEvents.stats({ since: Date.now() + 172_800_000 })).toEqual([])
      expect(await stele.auditEvents.stats({ until: Date.now() - 172_800_000 })).toEqual([])
    }
  })

  test('changes of what is kept of people are on record with who made them', async () => {
    const stele = await (await bed.place()).stele()
    await stele.users.create('ada')
    await stele.users.update('ada', { email: 'ada@example.org', contentMode: 'plain' })
    const { call, settled } = await exchange(stele, [user('hello')], 'hi', { userId: 'ada' })
    const { conversationId } = settled
    await stele.conversations.delete('ada', conversationId)
    await stele.conversations.purge('ada', conversationId)
    const events = await stele.auditEvents.list({ userId: 'ada' })
    const facts = events.filter(({ action }) => !action.startsWith('call.'))
    expect(facts.map(({ action, target, details }) => [action, target, details])).toEqual([
      ['conversation.purged', conversationId, { calls: [call.callId] }],
      ['conversation.deleted', conversationId, undefined],
      ['user.updated', 'ada', { changed: ['email', 'content_mode'], content_mode: 'plain' }],
      ['user.created', 'ada', { role: 'member' }],
    ])
    expect(JSON.stringify(events)).not.toContain('example.org')
  })
}
