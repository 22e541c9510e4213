import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { ConversationMemory } from '../../src/library/conversation-memory.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'

const secret = 'a-secret-of-my-own'

/** Every way to read a list; none of them may answer a failing database with an empty one. */
const readings: Record<
  string,
  (stele: Stele, ids: { callId: string; conversationId: string }) => Promise<unknown>
> = {
  'users.list': stele => stele.users.list(),
  'users.get': stele => stele.users.get('ada'),
  'apiKeys.list': stele => stele.apiKeys.list(),
  'apiKeys.any': stele => stele.apiKeys.any(),
  'apiKeys.findBySecret': stele => stele.apiKeys.findBySecret(secret),
  'conversations.list': stele => stele.conversations.list({ userId: 'ada' }),
  'conversations.get': (stele, { conversationId }) => stele.conversations.get('ada', conversationId),
  'messages.list': (stele, { conversationId }) => stele.messages.list({ userId: 'ada', conversationId }),
  'messages.list after': (stele, { conversationId }) =>
    stele.messages.list({ userId: 'ada', conversationId, after: -1 }),
  'conversations.list recent': stele => stele.conversations.list({ userId: 'ada', recent: true }),
  'conversations.totals': (stele, { conversationId }) => stele.conversations.totals('ada', conversationId),
  'contextSnapshots.list': (stele, { conversationId }) =>
    stele.contextSnapshots.list({ userId: 'ada', conversationId }),
  'calls.list': stele => stele.calls.list({ userId: 'ada' }),
  'calls.get': (stele, { callId }) => stele.calls.get('ada', callId),
  'calls.find': (stele, { callId }) => stele.calls.find(callId),
  'calls.exactRequest': (stele, { callId }) => stele.calls.exactRequest('ada', callId),
  'calls.exactResponse': (stele, { callId }) => stele.calls.exactResponse('ada', callId),
}

export function failuresSuite(bed: Bed): void {
  test('no reading answers when the store is closed: each raises', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    await stele.apiKeys.create({ userId: 'ada', secret })
    for (const [name, read] of Object.entries(readings))
      await expect(read(stele, call), name).resolves.toBeDefined()
    const memory = new ConversationMemory(stele)
    const place = { userId: 'ada', conversationId: call.conversationId }
    await memory.getHistory(place)
    await stele.close()
    for (const [name, read] of Object.entries(readings))
      await failure('store_unavailable', read(stele, call), name)
    await failure('store_unavailable', memory.getHistory(place))
    await failure('store_unavailable', stele.retention.get('ada'))
    await failure('store_unavailable', stele.search({ userId: 'ada', query: 'q' }))
    await failure('store_unavailable', stele.ping())
  })

  test('no reading answers when its tables are gone: each raises', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    for (const table of ['messages', 'llm_responses', 'llm_requests', 'conversations', 'api_keys', 'users']) {
      await sql`DROP TABLE ${sql.table(table)}`.execute(stele.database.kysely)
    }
    for (const [name, read] of Object.entries(readings))
      await expect(read(stele, call), name).rejects.toThrow()
  })

  test('a batch on a closed database raises and makes nothing', async () => {
    const stele = await (await bed.place()).stele()
    await stele.close()
    await expect(
      stele.database.batch(async batch => batch.find('users', ['id'], [{ id: 'ada' }], ['id'])),
    ).rejects.toThrow()
    await expect(stele.database.exclusively(async () => undefined)).rejects.toThrow()
  })

  test('recording after close is refused', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    await stele.close()
    await failure('shutting_down', begin(stele, chatBody([user('q')])))
    await failure('shutting_down', stele.recorder.settle(call, completed(completionBody('a'))))
    await failure(
      'shutting_down',
      stele.saveInteraction({ userId: 'ada', model: 'm', messages: [user('q')], responseText: 'a' }),
    )
  })

  test('closing twice is allowed', async () => {
    const stele = await (await bed.place()).stele()
    await exchange(stele, [user('q')], 'a')
    await stele.close()
    await stele.close()
  })

  test('a write that the database refuses is an error for its caller, and nothing is kept of it', async () => {
    const stele = await (await bed.place()).stele({ retryFor: 50 })
    await exchange(stele, [user('before')], 'a')
    await sql`ALTER TABLE llm_requests RENAME TO elsewhere`.execute(stele.database.kysely)
    await expect(begin(stele, chatBody([user('q')]))).rejects.toThrow()
    await sql`ALTER TABLE elsewhere RENAME TO llm_requests`.execute(stele.database.kysely)
    const after = await exchange(stele, [user('after')], 'a')
    expect((await stele.calls.list()).map(({ id }) => id)[0]).toBe(after.call.callId)
    expect(await stele.conversations.list()).toHaveLength(2)
  })

  test('a start that failed is made good by the next call', async () => {
    const stele = await (await bed.place()).stele({ retryFor: 50 })
    stele.recorder.touchKey('key_1')
    await sql`ALTER TABLE api_keys RENAME TO elsewhere`.execute(stele.database.kysely)
    await expect(begin(stele, chatBody([user('q')]))).rejects.toThrow()
    await sql`ALTER TABLE elsewhere RENAME TO api_keys`.execute(stele.database.kysely)
    await exchange(stele, [user('q')], 'a')
    expect(await countOf(stele, 'llm_requests')).toBe(1)
  })
}
