import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { tables } from '../../src/db/definitions.ts'
import { type TableName, tableNames, userColumnOf } from '../../src/db/tables.ts'
import { doErasureStep } from '../../src/erasure/do-step.ts'
import { afterErasure } from '../../src/erasure/plan.ts'
import { newId } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, settle, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { indexOf } from '../harness/every-kind.ts'
import { factOf, liveEverywhere, secretOf } from '../harness/lives.ts'
import { countOf, rowsOf, storedRowsOf } from '../harness/rows.ts'

type Fields = Readonly<Record<string, unknown>>

/** Rows of a table that belong to a user, as they are stored. */
async function rowsOfUser(stele: Stele, table: TableName, userId: string): Promise<Fields[]> {
  const rows = (await storedRowsOf(stele.database, table)) as unknown as Fields[]
  return table === 'login_attempts'
    ? rows.filter(({ subject }) => String(subject).endsWith(`:${userId}`))
    : rows.filter(row => row[userColumnOf(table)] === userId)
}

/** Everything that is stored, as text in which any readable word would be found. */
async function everything(stele: Stele): Promise<string> {
  const texts: string[] = []
  for (const table of [...tableNames, 'message_search' as TableName])
    for (const row of (await storedRowsOf(stele.database, table).catch(() => [])) as unknown as Fields[])
      for (const value of Object.values(row))
        texts.push(value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value))
  return texts.join('\n')
}

const search = (stele: Stele, userId: string, query: string) => stele.search({ userId, query, limit: 10 })

export function erasureSuite(bed: Bed): void {
  test('of an erased user nothing is left but what calls took and cost, and nobody else loses anything', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const ada = await liveEverywhere(stele, 'ada')
    const bob = await liveEverywhere(stele, 'bob')
    await stele.auditLog.sequence()
    expect((await search(stele, 'ada', 'asked')).hits.length).toBeGreaterThan(0)
    const usage = await rowsOf(stele, 'usage_daily')
    const facts = async () =>
      (await rowsOf(stele, 'llm_responses')).map(({ status, input_tokens, output_tokens, cost_nanousd }) => ({
        status,
        input_tokens,
        output_tokens,
        cost_nanousd,
      }))
    const before = { facts: await facts(), events: await rowsOf(stele, 'audit_events') }
    const report = await stele.erase('ada', { reason: 'she asked for it' })
    expect(report).toMatchObject({ userId: 'ada', remains: [], isScrubbed: true, unusedBytes: 0 })
    expect(report.counts).toMatchObject({ data_keys: 1, api_keys: 1, user_passwords: 1 })
    expect(report.counts['llm_requests']).toBeGreaterThan(2)

    for (const word of [secretOf('ada'), factOf('ada')]) expect(await everything(stele)).not.toContain(word)
    for (const [table, fate] of Object.entries(afterErasure) as [TableName, string][]) {
      const rows = await rowsOfUser(stele, table, 'ada')
      if (fate === 'removed' || fate === 'with its conversation') expect(rows, table).toEqual([])
      else if (fate !== 'none') expect(rows.length, table).toBeGreaterThan(0)
      if (fate !== 'none') expect((await rowsOfUser(stele, table, 'bob')).length, table).toBeGreaterThan(0)
    }
    expect((await indexOf(stele)).places.filter(at => at.startsWith(ada.conversationId))).toEqual([])
    expect(await rowsOf(stele, 'usage_daily')).toEqual(usage)
    expect(await facts()).toEqual(before.facts)
    const events = await rowsOf(stele, 'audit_events')
    for (const event of before.events) expect(events).toContainEqual(event)
    const known = new Set(before.events.map(({ id }) => id))
    const added = events.filter(({ id }) => !known.has(id))
    expect(added.map(({ action, user_id }) => [action, user_id])).toEqual([
      ['user.erasure_begun', 'ada'],
      ['user.erased', 'ada'],
    ])
    const { details } = added[1] ?? {}
    expect(JSON.parse(details ?? '')).toEqual({ reason: 'she asked for it', ...report.counts })
    expect(await stele.users.get('ada')).toMatchObject({
      status: 'erased',
      email: null,
      username: null,
      preferences: null,
    })
    expect(await stele.verifyErasure('ada')).toEqual([])

    for (const one of [stele, await place.stele()]) {
      await failure('content_not_kept', one.calls.exactRequest('ada', ada.callId))
      expect((await one.calls.exactRequest('bob', bob.callId)).toString()).toContain(secretOf('bob'))
      expect((await search(one, 'bob', 'asked')).hits.length).toBeGreaterThan(0)
      expect((await search(one, 'ada', 'asked')).hits).toEqual([])
    }
    await failure('user_not_found', stele.erase('nobody'))
    await failure('user_not_found', stele.verifyErasure('nobody'))
  })

  test('what is left is found in whatever column it stands', async () => {
    const stele = await (await bed.place()).stele()
    await liveEverywhere(stele, 'ada')
    const kept = new Map<TableName, Fields[]>()
    for (const table of tableNames) kept.set(table, await rowsOfUser(stele, table, 'ada'))
    await stele.erase('ada')
    expect(await stele.verifyErasure('ada')).toEqual([])
    for (const [table, fate] of Object.entries(afterErasure) as [TableName, string][]) {
      if (fate === 'kept' || fate === 'none' || table.startsWith('search_')) continue
      const blanked = await rowsOfUser(stele, table, 'ada')
      const rows = kept.get(table) ?? []
      await putBack(stele, table, rows)
      const found = await stele.verifyErasure('ada')
      expect(
        found.map(remains => remains.table),
        table,
      ).toContain(table)
      await putBack(stele, table, blanked)
      expect(await stele.verifyErasure('ada'), table).toEqual([])
    }
  })

  test('a call under way is settled with what it took and without what was said', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    const call = await begin(stele, chatBody([user(`${secretOf('ada')} asked`)], { store: true }), {
      userId: 'ada',
    })
    const failing = await begin(other, chatBody([user('and this')]), { userId: 'ada' })
    await stele.erase('ada')
    await settle(stele, call, completed(completionBody(`${secretOf('ada')} told`)))
    await settle(other, failing, { status: 'failed', errorCode: 'external', errorMessage: secretOf('ada') })
    expect(await countOf(stele, 'messages')).toBe(0)
    expect(await countOf(stele, 'conversations')).toBe(0)
    expect(await countOf(stele, 'stored_completions')).toBe(0)
    const responses = await rowsOf(stele, 'llm_responses')
    expect(responses.map(({ status }) => status).sort()).toEqual(['completed', 'failed'])
    for (const row of responses) expect(row).toMatchObject({ body: null, error_message: null })
    expect((await stele.calls.get('ada', call.callId))?.outputTokens).toBeGreaterThan(0)
    expect((await rowsOf(stele, 'usage_daily')).map(({ calls }) => calls)).toEqual([1, 1])
    expect(await everything(stele)).not.toContain(secretOf('ada'))
    expect(await stele.verifyErasure('ada')).toEqual([])
    expect((await stele.users.get('ada'))?.status).toBe('erased')
  })

  test('the same after the user has come back, with a new key and what came since', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    const before = await exchange(other, [user('before')], 'b', { userId: 'ada' })
    const late = await begin(other, chatBody([user('late')]), { userId: 'ada' })
    const { erasedAt } = await stele.erase('ada')
    await expect.poll(() => Date.now()).toBeGreaterThan(erasedAt)
    const { call } = await exchange(other, [user('after')], 'a', { userId: 'ada' })
    await settle(other, late, completed(completionBody(secretOf('ada'))))
    expect((await stele.calls.exactRequest('ada', call.callId)).toString()).toContain('after')
    expect((await stele.users.get('ada'))?.status).toBe('active')
    await failure('content_not_kept', other.calls.exactRequest('ada', before.call.callId))
    expect(await countOf(stele, 'messages')).toBe(2)
    const keys = await rowsOf(stele, 'data_keys')
    expect(keys.map(key => key.wrapped_key === null).sort()).toEqual([false, true])
    expect(await everything(stele)).not.toContain(secretOf('ada'))
    expect(await stele.verifyErasure('ada')).toEqual([])
    await stele.erase('ada')
    expect(await countOf(stele, 'messages')).toBe(0)
    expect(await stele.verifyErasure('ada')).toEqual([])
  })

  test('one that broke off is finished by the next, and until then nothing new is mixed with what is to go', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await liveEverywhere(stele, 'ada')
    const request = { userId: 'ada', actor: 'operator', reason: undefined }
    const database = { ...place.database(), contents: stele.database.contents }
    const { erasedAt } = await doErasureStep(database, { kind: 'begin', request, at: Date.now() })
    await doErasureStep(database, { kind: 'conversations', userId: 'ada' })
    await failure('user_erasing', begin(stele, chatBody([user('in between')]), { userId: 'ada' }))
    await failure('user_erasing', stele.users.setStanding('ada', { status: 'active' }))
    await failure('user_erasing', stele.verifyErasure('ada'))
    await exchange(stele, [user('of bob')], 'b', { userId: 'bob' })
    const report = await stele.erase('ada')
    expect(report).toMatchObject({ erasedAt, remains: [] })
    await exchange(stele, [user('again')], 'a', { userId: 'ada' })
    expect((await stele.users.get('ada'))?.status).toBe('active')
  })

  test('two at once, and calls of the user meanwhile, leave nothing from before', async () => {
    const place = await bed.place()
    const stores = [await place.stele(), await place.stele()] as const
    for (let i = 0; i < 5; i++)
      await exchange(stores[0], [user(`${secretOf('ada')} ${i}`)], 'b', { userId: 'ada' })
    const calls = Array.from({ length: 20 }, (_, i) =>
      exchange(stores[i % 2 ? 0 : 1], [user(`meanwhile ${i}`)], 'm', { userId: 'ada' }).catch(
        error => error.code,
      ),
    )
    const [outcomes] = await Promise.all([
      Promise.all(calls),
      Promise.all(stores.map(one => one.erase('ada'))),
    ])
    const codes = outcomes.filter(outcome => typeof outcome === 'string')
    expect(codes.filter(code => code !== 'user_erasing')).toEqual([])
    await stores[0].erase('ada')
    expect(await stores[0].verifyErasure('ada')).toEqual([])
    expect(await everything(stores[0])).not.toContain(secretOf('ada'))
  })

  test('who reads elsewhere notices within a second or so', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    const { call } = await exchange(stele, [user('before')], 'b', { userId: 'ada' })
    await other.calls.exactRequest('ada', call.callId)
    const request = { userId: 'ada', actor: 'operator', reason: undefined }
    const database = { ...place.database(), contents: stele.database.contents }
    await doErasureStep(database, { kind: 'begin', request, at: Date.now() })
    await expect
      .poll(() => other.calls.exactRequest('ada', call.callId).catch(error => error.code), { timeout: 2_000 })
      .toBe('content_erased')
  })

  test('a conversation of many messages goes in steps', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { id: conversationId } = await stele.conversations.create({ userId: 'ada' })
    const messages = Array.from({ length: 1_100 }, (_, i) => ({ message: user(`${secretOf('ada')} ${i}`) }))
    for (let at = 0; at < messages.length; at += 275)
      await stele.messages.append({ userId: 'ada', conversationId, messages: messages.slice(at, at + 275) })
    const steps: number[] = []
    await stele.erase('ada', { onProgress: rows => steps.push(rows) })
    const sizes = steps.map((rows, at) => rows - (steps[at - 1] ?? 0))
    expect(Math.max(...sizes)).toBeLessThan(600)
    expect(await countOf(stele, 'messages')).toBe(0)
    expect(await countOf(stele, 'search_queue')).toBe(0)
  })

  test('no row of a user takes audit events along when it is deleted', async () => {
    const stele = await (await bed.place()).stele()
    await liveEverywhere(stele, 'ada')
    const events = await rowsOf(stele, 'audit_events')
    const others = tableNames.filter(table => table !== 'audit_events')
    for (const table of others)
      await putBack(stele, table, [], 'user_id' in tables[table] || table === 'users')
    expect(await countOf(stele, 'users')).toBe(0)
    expect(await rowsOf(stele, 'audit_events')).toEqual(events)
    const schema = (await stele.database.describeSchema()).join('\n')
    expect(schema).not.toMatch(/CASCADE|\bREFERENCES\b|FOREIGN KEY/i)
  })

  test('an id of a call of another user, or of none, is not touched', async () => {
    const stele = await (await bed.place()).stele()
    const callId = newId('call')
    await stele.users.create('ada')
    await stele.erase('ada')
    await expect.poll(() => Date.now()).toBeGreaterThan((await stele.users.get('ada'))?.erased_at ?? 0)
    const call = await begin(stele, chatBody([user('of bob')]), { userId: 'bob', callId })
    await settle(stele, call, completed(completionBody('to bob')))
    expect((await stele.calls.exactRequest('bob', callId)).toString()).toContain('of bob')
  })
}

/** Puts rows in the place of those with the same keys, whatever they hold. */
async function putBack(
  stele: Stele,
  table: TableName,
  rows: readonly Fields[],
  hasUsers = true,
): Promise<void> {
  if (!hasUsers) return
  const { kysely } = stele.database
  const isAda =
    table === 'login_attempts'
      ? sql<boolean>`subject LIKE '%:ada'`
      : sql<boolean>`${sql.ref(userColumnOf(table))} = 'ada'`
  await kysely.transaction().execute(async tx => {
    await stele.database.permit(tx, 'copy')
    await tx.deleteFrom(table).where(isAda).execute()
  })
  for (const row of rows)
    await kysely
      .insertInto(table)
      .values(row as never)
      .execute()
}
