import { expect, test } from 'vitest'
import { contentColumnsOf, type TableName } from '../../src/db/tables.ts'
import { newId } from '../../src/ids.ts'
import { endResponse } from '../../src/recorder/respond.ts'
import type { Stele } from '../../src/stele.ts'
import { assistant, begin, chatBody, exchange, reproduced, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { callWithAll, responseStart } from '../harness/every-kind.ts'
import { rowsOf, storedRowsOf } from '../harness/rows.ts'

const secret = 'heliotrope-7731'

const tables: readonly TableName[] = [
  'messages',
  'llm_requests',
  'llm_responses',
  'responses',
  'documents',
  'stored_completions',
]

/** The forms of all content that is stored of a user, and whether the secret can be read in it. */
async function stored(stele: Stele, userId: string): Promise<{ forms: number[]; shows: boolean }> {
  const forms = new Set<number>()
  let shows = false
  for (const table of tables)
    for (const row of (await storedRowsOf(stele.database, table)) as unknown as Record<string, unknown>[])
      for (const { name } of contentColumnsOf(table)) {
        const value = row[name]
        if (row['user_id'] !== userId || !(value instanceof Uint8Array)) continue
        forms.add(value[0] ?? 0)
        shows ||= Buffer.from(value).includes(secret)
      }
  return { forms: [...forms], shows }
}

const sayAll = (stele: Stele, userId: string, apiKeyId?: string) =>
  callWithAll(stele, [user(`${secret} asked`)], `${secret} told`, { userId, apiKeyId })

export function contentModesSuite(bed: Bed): void {
  test.each([
    ['encrypted', { forms: [0x04], shows: false }],
    ['hashed', { forms: [0x07], shows: false }],
    ['plain', { forms: [0x06], shows: true }],
  ] as const)('%s content is kept so, all of it', async (contentMode, expected) => {
    const stele = await (await bed.place()).stele({ contentMode })
    const { callId, conversationId } = await sayAll(stele, 'ada')
    expect(await stored(stele, 'ada')).toEqual(expected)
    if (contentMode === 'hashed') {
      await failure('content_not_kept', stele.calls.exactRequest('ada', callId))
      await failure('content_not_kept', stele.calls.exactResponse('ada', callId))
      const said = await stele.messages.list({ userId: 'ada', conversationId })
      expect(said.map(({ isKept }) => isKept)).toEqual([false, false])
    } else expect((await reproduced(stele, callId)).request).toContain(secret)
  })

  test('a key’s mode is stronger than its user’s, that than everybody’s', async () => {
    const stele = await (await bed.place()).stele({ contentMode: 'hashed' })
    await stele.users.create('ada', { content_mode: 'plain' })
    const keyOf = async (userId: string, contentMode?: 'encrypted') =>
      (await stele.apiKeys.create({ userId, contentMode })).id
    await sayAll(stele, 'ada', await keyOf('ada'))
    expect((await stored(stele, 'ada')).forms).toEqual([0x06])
    await sayAll(stele, 'bob', await keyOf('bob'))
    expect((await stored(stele, 'bob')).forms).toEqual([0x07])
    await stele.users.create('eve', { content_mode: 'plain' })
    await sayAll(stele, 'eve', await keyOf('eve', 'encrypted'))
    expect(await stored(stele, 'eve')).toEqual({ forms: [0x04], shows: false })
  })

  test('a user’s mode can be changed, and what was kept stays as it is', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('first')], 'a', { userId: 'ada' })
    await stele.users.update('ada', { contentMode: 'hashed' })
    expect((await stele.users.get('ada'))?.content_mode).toBe('hashed')
    // At once where it is changed; other processes learn it within seconds.
    const later = await exchange(stele, [user('later')], 'b', { userId: 'ada' })
    await failure('content_not_kept', stele.calls.exactRequest('ada', later.call.callId))
    await failure('content_not_kept', stele.calls.exactResponse('ada', later.call.callId))
    expect((await reproduced(stele, call.callId)).request).toContain('first')
    await failure('invalid_value', stele.users.update('ada', { contentMode: 'secret' as never }))
  })

  test('another process learns a user’s new mode by itself', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    await exchange(other, [user('first')], 'a', { userId: 'ada' })
    await stele.users.update('ada', { contentMode: 'hashed' })
    await expect
      .poll(
        async () => {
          const { call } = await exchange(other, [user(`later ${performance.now()}`)], 'b', { userId: 'ada' })
          return other.calls.exactRequest('ada', call.callId).catch(error => error.code)
        },
        { timeout: 8_000, interval: 500 },
      )
      .toBe('content_not_kept')
  })

  test('changing something else of a conversation, a message or a user leaves what was kept as it is', async () => {
    const stele = await (await bed.place()).stele()
    const about = { title: secret, metadata: { a: 1 }, preferences: { b: 2 } }
    const messages = [{ message: user('one'), metadata: { c: 3 } }]
    const { id } = await stele.conversations.create({ userId: 'ada', ...about, messages })
    await stele.users.update('ada', { preferences: { d: 4 } })
    await stele.users.update('ada', { contentMode: 'hashed' })
    await stele.conversations.delete('ada', id)
    await stele.conversations.restore('ada', id)
    expect(await stele.conversations.update('ada', id, { intent: 'test' })).toMatchObject(about)
    const [message] = await stele.messages.list({ userId: 'ada', conversationId: id })
    const changed = await stele.messages.update('ada', id, message?.id ?? '', { intent: 'test' })
    expect(changed).toMatchObject({ intent: 'test', metadata: { c: 3 } })
    expect(await stele.conversations.get('ada', id)).toMatchObject(about)
    expect((await stele.users.update('ada', { email: 'ada@example.org' })).preferences).toEqual({ d: 4 })
    // What is said now is not kept, also when it is said together with the mode.
    expect((await stele.conversations.update('ada', id, { title: 'new' })).title).toBeUndefined()
    await stele.users.create('bob')
    expect(
      (await stele.users.update('bob', { contentMode: 'hashed', preferences: { e: 5 } })).preferences,
    ).toBeNull()
  })

  test('a response that ends outside its calls is kept as it began', async () => {
    const stele = await (await bed.place()).stele()
    const { id: apiKeyId } = await stele.apiKeys.create({ userId: 'ada', contentMode: 'hashed' })
    const callId = newId('call')
    const response = responseStart(callId, `${secret} asked`)
    await begin(stele, chatBody([user(secret)]), { callId, response, apiKeyId })
    await endResponse(stele.recorder, 'ada', { id: response.id, status: 'failed', body: `"${secret}"` })
    expect(await stored(stele, 'ada')).toEqual({ forms: [0x07], shows: false })
  })

  test('a conversation goes on over messages that are kept as digests, and later ones are kept whole', async () => {
    const stele = await (await bed.place()).stele({ contentMode: 'hashed' })
    const { id } = await stele.apiKeys.create({ userId: 'ada', contentMode: 'encrypted' })
    const first = await exchange(stele, [user('one')], 'two')
    const body = chatBody([user('one'), assistant('two'), user('three')])
    const next = await exchange(stele, body, 'four', { apiKeyId: id })
    expect(next.call.conversationId).toBe(first.call.conversationId)
    expect(await reproduced(stele, next.call.callId)).toEqual({
      request: next.request,
      response: next.response,
    })
    expect(await rowsOf(stele, 'messages')).toHaveLength(4)
  })

  test('plain content that was changed is refused', async () => {
    const stele = await (await bed.place()).stele({ contentMode: 'plain' })
    const { call } = await exchange(stele, [user('question')], 'answer')
    const [row] = await storedRowsOf(stele.database, 'llm_requests')
    const changed = Buffer.from(row?.params as unknown as Uint8Array)
    changed[changed.byteLength - 2] = (changed.at(-2) ?? 0) ^ 1
    await stele.database.batch(async batch => {
      await batch.permit('rotation')
      await batch.update(
        'llm_requests',
        ['params'],
        ['id', 'user_id'],
        [{ set: { params: changed as never }, match: { id: call.callId, user_id: 'ada' } }],
      )
    })
    await failure('content_unreadable', stele.calls.exactRequest('ada', call.callId))
  })
}
