import { Readable } from 'node:stream'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { prepareRequest } from '../../src/model/prepared-request.ts'
import { copyDatabase } from '../../src/moving/copy.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import type { RetentionDefaults } from '../../src/retention/periods.ts'
import type { Stele } from '../../src/stele.ts'
import { recordedAnswers } from '../../src/store/recorded-answers.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  reproduced,
  settle,
  user,
} from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import { type Bed, withKeyOf } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { expectedAfter, tablesOf, watched, withoutDeadHashes } from '../property/retention-model.ts'
import { playStory, story } from '../property/retention-story.ts'

const day = 86_400_000
const start = Date.UTC(2026, 0, 1)

interface Said {
  readonly callId: string
  readonly conversationId: string
  readonly request: string
  readonly response: string
}

/** A call that was made and answered at `at`. */
async function call(
  stele: Stele,
  messages: readonly unknown[],
  reply: string,
  at: number,
  more: Record<string, unknown> = {},
): Promise<Said> {
  const request = chatBody(messages)
  const response = completionBody(reply)
  const begun = await begin(stele, request, { createdAt: at, ...more })
  await settle(stele, begun, completed(response, { createdAt: at }))
  return { callId: begun.callId, conversationId: begun.conversationId, request, response }
}

/** The record as lines. */
async function textOf({ database }: Stele): Promise<string> {
  let text = ''
  await exportLines(database, async lines => {
    text += lines
  })
  return text
}

const open = async (bed: Bed, retention: RetentionDefaults): Promise<Stele> =>
  (await bed.place()).stele({ retention })

export function retentionSuite(bed: Bed): void {
  test('what was said goes when it is too old; what it took and cost stays', async () => {
    const stele = await open(bed, { contentDays: 30 })
    const old = await call(stele, [user('a secret')], 'kept safe', start)
    const young = await call(stele, [user('news')], 'fresh', start + 20 * day)
    const before = await stele.calls.get('ada', old.callId)
    const usage = await rowsOf(stele, 'usage_daily')
    const now = start + 31 * day
    const { expired } = await stele.retention.run({ now })
    expect(expired.map(({ reason, kind, rows }) => `${reason} ${kind} ${rows}`)).toEqual([
      'content calls 1',
      'content messages 2',
    ])
    await failure('content_not_kept', stele.calls.exactRequest('ada', old.callId))
    await failure('content_not_kept', stele.calls.exactResponse('ada', old.callId))
    expect(await stele.calls.get('ada', old.callId)).toEqual(before)
    expect(await rowsOf(stele, 'usage_daily')).toEqual(usage)
    expect(await stele.messages.list({ userId: 'ada', conversationId: old.conversationId })).toMatchObject([
      { seq: 0, role: 'user', isKept: false },
      { seq: 1, role: 'assistant', isKept: false },
    ])
    for (const table of watched)
      for (const row of await rowsOf(stele, table))
        for (const value of Object.values(row as Record<string, unknown>))
          if (value instanceof Uint8Array)
            expect(Buffer.from(value).toString()).not.toMatch(/secret|kept safe/)
    expect(await reproduced(stele, young.callId)).toEqual({
      request: young.request,
      response: young.response,
    })
    const event = (await rowsOf(stele, 'audit_events')).find(({ action }) => action === 'retention.run')
    expect(event).toMatchObject({ actor: 'retention', outcome: 'success', created_at: now })
    expect(JSON.parse(event?.details ?? '')).toMatchObject({ expired })
  })

  test('a newer request that relies on what is gone says so; one that comes after relies on nothing', async () => {
    const stele = await open(bed, { contentDays: 30 })
    const said = [user('first')]
    const first = await call(stele, said, 'one', start)
    said.push(assistant('one'), user('second'))
    const second = await call(stele, said, 'two', start + 20 * day)
    expect(second.conversationId).toBe(first.conversationId)
    await stele.retention.run({ now: start + 31 * day })
    await failure('content_not_kept', stele.calls.exactRequest('ada', second.callId))
    expect((await stele.calls.exactResponse('ada', second.callId))?.toString()).toBe(second.response)
    said.push(assistant('two'), user('third'))
    const third = await call(stele, said, 'three', start + 32 * day)
    expect(third.conversationId).toBe(first.conversationId)
    expect(await reproduced(stele, third.callId)).toEqual({
      request: third.request,
      response: third.response,
    })
    // The same of a fork from before what is left.
    const fork = await call(
      stele,
      [user('first'), assistant('one'), user('otherwise')],
      'x',
      start + 33 * day,
    )
    expect(fork.conversationId).not.toBe(first.conversationId)
    expect((await reproduced(stele, fork.callId)).request).toBe(fork.request)
  })

  test('rows go when even they are too old, whole conversations with them; sums and the audit log stay', async () => {
    const stele = await open(bed, { contentDays: 10, metadataDays: 60 })
    const claim = { keyHash: 'k', requestHash: 'r', expiresAt: start + 300 * day }
    const old = await call(stele, [user('old')], 'a', start, { claim })
    const long = await call(stele, [user('long ago')], 'b', start)
    const later = await call(
      stele,
      [user('long ago'), assistant('b'), user('and now')],
      'c',
      start + 50 * day,
    )
    const usage = await rowsOf(stele, 'usage_daily')
    const events = await countOf(stele, 'audit_events')
    await stele.retention.run({ now: start + 61 * day })
    expect(await stele.calls.get('ada', old.callId)).toBeUndefined()
    expect(await stele.conversations.get('ada', old.conversationId)).toBeUndefined()
    await failure('call_not_found', stele.calls.exactRequest('ada', long.callId))
    expect((await rowsOf(stele, 'llm_requests')).map(({ id }) => id)).toEqual([later.callId])
    expect((await rowsOf(stele, 'llm_responses')).map(row => row.request_id)).toEqual([later.callId])
    expect((await rowsOf(stele, 'messages')).map(({ seq }) => seq)).toEqual([2, 3])
    await failure('content_not_kept', stele.calls.exactRequest('ada', later.callId))
    expect(await rowsOf(stele, 'usage_daily')).toEqual(usage)
    expect(await countOf(stele, 'audit_events')).toBe(events + 2)
    // The key stood for a reply that is gone: it may stand for another.
    await call(stele, [user('new')], 'd', start + 62 * day, { claim })
    const next = await call(
      stele,
      [user('long ago'), assistant('b'), user('and now'), assistant('c'), user('on')],
      'e',
      start + 63 * day,
    )
    expect(next.conversationId).toBe(later.conversationId)
    expect(await reproduced(stele, next.callId)).toMatchObject({ request: next.request })
  })

  test("a user's own periods count before everybody's, and may have no end", async () => {
    const stele = await open(bed, { contentDays: 30 })
    const ids = new Map<string, string>()
    for (const userId of ['ada', 'bob', 'cyd'])
      ids.set(userId, (await call(stele, [user('q')], 'a', start, { userId })).callId)
    await stele.retention.set('bob', { contentDays: 5 }, start)
    await stele.retention.set('cyd', { contentDays: 0, metadataDays: 0 }, start)
    const kept = async (userId: string): Promise<boolean> =>
      stele.calls.exactRequest(userId, ids.get(userId) ?? '').then(
        () => true,
        () => false,
      )
    await stele.retention.run({ now: start + 6 * day })
    expect([await kept('ada'), await kept('bob'), await kept('cyd')]).toEqual([true, false, true])
    await stele.retention.run({ now: start + 31 * day })
    expect([await kept('ada'), await kept('cyd')]).toEqual([false, true])
    expect(await stele.retention.unset('cyd', start)).toBe(true)
    expect(await stele.retention.unset('cyd', start)).toBe(false)
    expect(await stele.retention.list()).toMatchObject([{ userId: 'bob', contentDays: 5 }])
    const { expired } = await stele.retention.run({ now: start + 31 * day })
    expect(expired).toMatchObject([
      { group: 'default', kind: 'calls', rows: 1 },
      { group: 'default', kind: 'messages', rows: 2 },
    ])
    expect((await rowsOf(stele, 'audit_events')).map(({ action }) => action)).toEqual(
      expect.arrayContaining(['retention.set', 'retention.unset']),
    )
    await failure('retention_invalid', stele.retention.set('bob', { contentDays: 31, metadataDays: 30 }))
    await failure('retention_invalid', stele.retention.set('bob', { contentDays: 0, metadataDays: 30 }))
    await failure('invalid_value', stele.retention.set('bob', { contentDays: 1.5 }))
  })

  test('a conversation that nobody uses is deleted, and later what was said in it goes', async () => {
    const stele = await open(bed, { inactiveDays: 30, deletedDays: 7 })
    const idle = await call(stele, [user('idle')], 'a', start)
    const shared = await call(stele, [user('shared')], 'a', start)
    const used = [user('shared'), assistant('another'), user('go on')]
    const fork = await call(stele, used, 'b', start + 20 * day)
    await call(stele, [user('idle'), assistant('else')], 'c', start + 20 * day, { userId: 'bob' })
    await stele.retention.run({ now: start + 31 * day })
    const deletedOf = async () =>
      new Map((await rowsOf(stele, 'conversations')).map(row => [row.id, row.deleted_at]))
    expect((await deletedOf()).get(idle.conversationId)).toBe(start + 31 * day)
    expect((await reproduced(stele, idle.callId)).request).toBe(idle.request)
    await stele.retention.run({ now: start + 39 * day })
    await failure('content_not_kept', stele.calls.exactRequest('ada', idle.callId))
    expect(await stele.calls.get('ada', idle.callId)).toMatchObject({ status: 'completed', inputTokens: 10 })
    // What a fork that is in use shares is in use.
    const forked = (await rowsOf(stele, 'conversations')).find(({ id }) => id === fork.conversationId)
    expect(forked?.parent_id).toBe(shared.conversationId)
    expect((await deletedOf()).get(shared.conversationId)).toBeNull()
    expect((await reproduced(stele, fork.callId)).request).toBe(fork.request)
  })

  test('a call under way is left alone, with all that its conversation holds', async () => {
    const stele = await open(bed, { contentDays: 1, metadataDays: 2, inactiveDays: 1, deletedDays: 1 })
    const first = await call(stele, [user('q')], 'a', start)
    const request = chatBody([user('q'), assistant('a'), user('slow')])
    const slow = await begin(stele, request, { createdAt: start + 10 })
    const before = await tablesOf(stele)
    await stele.retention.run({ now: start + 5 * day })
    expect((await tablesOf(stele)).messages).toEqual(before.messages)
    expect((await rowsOf(stele, 'conversations'))[0]).toMatchObject({ deleted_at: null })
    expect((await stele.calls.exactRequest('ada', slow.callId)).toString()).toBe(request)
    expect(await stele.calls.get('ada', first.callId)).toBeUndefined()
    const settled = await settle(
      stele,
      slow,
      completed(completionBody('at last'), { createdAt: start + 5 * day }),
    )
    expect(settled.conversationId).toBe(first.conversationId)
    await stele.retention.run({ now: start + 6 * day })
    expect((await rowsOf(stele, 'messages')).map(({ seq }) => seq)).toEqual([3])
    await failure('call_not_found', stele.calls.exactRequest('ada', slow.callId))
  })

  test('random stories leave what the model says', { timeout: 120_000 }, async () => {
    for (const { defaults, events } of fc.sample(story, {
      numRuns: 3,
      seed: 7,
    }))
      await playStory(await open(bed, defaults), defaults, events)
  })

  test('one runs at a time, and recording goes on meanwhile', async () => {
    const place = await bed.place()
    const stele = await place.stele({ retention: { contentDays: 1 } })
    await Promise.all(
      Array.from({ length: 200 }, (_, index) => call(stele, [user(`old ${index}`)], 'a', start)),
    )
    const now = start + 2 * day
    const run = stele.retention.run({ now })
    const fresh = Promise.all(
      Array.from({ length: 50 }, (_, index) => call(stele, [user(`new ${index}`)], 'a', now)),
    )
    await failure('retention_running', stele.retention.run({ now }))
    const outcomes = await Promise.all([run, fresh])
    expect(outcomes[0].expired.map(({ rows }) => rows)).toEqual([200, 400])
    for (const one of outcomes[1])
      expect(await reproduced(stele, one.callId)).toEqual({ request: one.request, response: one.response })
    expect((await stele.retention.run({ now })).expired).toEqual([])
    expect(stele.retention.counts).toMatchObject({ runs: 2, failures: 0, rows: 600 })
    await stele.database.kysely
      .insertInto('leases')
      .values({ name: 'retention', holder: 'another', expires_at: Date.now() + 60_000 })
      .execute()
    await failure('retention_running', stele.retention.run({ now }))
    await stele.database.kysely.updateTable('leases').set({ expires_at: Date.now() }).execute()
    await stele.retention.run({ now })
    expect(await countOf(stele, 'leases')).toBe(0)
  })

  test('a turn is taken by one, until it is over', async () => {
    const place = await bed.place()
    const one = await place.stele()
    expect(await one.retention.takeTurn(60_000)).toBe(true)
    expect(await one.retention.takeTurn(60_000)).toBe(true)
    if (bed.name === 'SQLite memory') return
    const other = await place.stele()
    expect(await other.retention.takeTurn(60_000)).toBe(false)
    await one.database.kysely.updateTable('leases').set({ expires_at: Date.now() }).execute()
    expect(await other.retention.takeTurn(60_000)).toBe(true)
  })

  if (bed.name === 'SQLite memory') return

  test('what is left after a run can be exported, imported, copied and replayed', async () => {
    const place = await bed.place()
    const stele = await place.stele({ retention: { contentDays: 30, metadataDays: 60 } })
    const said = [user('first')]
    await call(stele, said, 'one', start)
    said.push(assistant('one'), user('second'))
    await call(stele, said, 'two', start + 25 * day)
    said.push(assistant('two'), user('third'))
    const last = await call(stele, said, 'three', start + 59 * day)
    const lone = await call(stele, [user('lone')], 'replayed', start + 59 * day)
    const lost = await call(stele, [user('lost')], 'gone', start + 10 * day)
    await stele.retention.run({ now: start + 61 * day })
    const lines = await textOf(stele)
    const records = lines
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
    const exported = (id: string) => records.find(record => record['id'] === id)
    expect(exported(lone.callId)).toMatchObject({ request: lone.request, response: { body: lone.response } })
    expect(exported(lost.callId)).toMatchObject({ request: null, response: { body: null, input_tokens: 10 } })
    expect(exported(last.callId)).toMatchObject({ request: null, response: { body: last.response } })

    const importing = await withKeyOf(await bed.place(), place).stele()
    const imported = await importLines(
      importing.database,
      importing.hashes,
      Readable.from([Buffer.from(lines)]),
    )
    expect(imported.refused).toBe(0)
    const again = await textOf(importing)
    expect(again.split('\n').slice(1)).toEqual(lines.split('\n').slice(1))
    await failure('content_not_kept', importing.calls.exactRequest('ada', last.callId))

    const copied = withKeyOf(await bed.place(), place)
    const report = await copyDatabase(stele.database, copied.database())
    expect(report.tables.every(({ difference }) => difference === undefined)).toBe(true)
    const copy = await copied.stele()
    expect(await reproduced(copy, lone.callId)).toEqual({ request: lone.request, response: lone.response })

    const answers = recordedAnswers(stele.database)
    const find = (text: string) =>
      answers.find('ada', 'test-model', prepareRequest(parseChatRequest(text), stele.hashes))
    expect(await find(lone.request)).toBe(lone.callId)
    expect(await find(lost.request)).toBeUndefined()
  })

  test('killed at any point, a run leaves what the next one completes', { timeout: 60_000 }, async () => {
    const place = await bed.place()
    const retention = { contentDays: 30, metadataDays: 60 }
    const stele = await place.stele({ retention })
    const now = start + 70 * day
    const conversations = Array.from({ length: 90 }, (_, index) => index)
    await Promise.all(
      conversations.map(async index => {
        const said = [user(`question ${index}`)]
        for (const at of [0, 20, 50].map(days => start + days * day)) {
          await call(stele, said, 'a', at)
          said.push(assistant('a'), user(`${index} goes on at ${at}`))
        }
      }),
    )
    const before = await tablesOf(stele)
    const expected = expectedAfter(before, [], retention, now)
    for (const pages of [1, 3]) {
      const child = startChild('run-retention.ts', place, { retention, now })
      await child.next()
      for (let page = 0; page < pages; page++) await child.next()
      await child.kill()
      await stele.database.kysely.deleteFrom('leases').execute()
      for (const row of await rowsOf(stele, 'messages')) expect(row.content.byteLength).toBeGreaterThan(0)
    }
    await stele.retention.run({ now })
    const after = withoutDeadHashes(await tablesOf(stele), before)
    for (const table of watched) expect(after[table], table).toEqual(expected.tables[table])
    expect(
      (await stele.database.examine()).filter(({ name, ok }) => !ok && !name.includes('default')),
    ).toEqual([])
  })
}
