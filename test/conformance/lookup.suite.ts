import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import { assistant, exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

const userId = 'ada'

const unknown = 'msg_01h455vb4pex5vsknk084sn02q'

/** A conversation of so many messages, and the ids of all of them in order. */
async function conversationOf(stele: Stele, length: number): Promise<{ id: string; messages: string[] }> {
  const { id } = await stele.conversations.create({ userId })
  const messages: string[] = []
  while (messages.length < length) {
    const count = Math.min(1_000, length - messages.length)
    const turns = Array.from({ length: count }, (_, index) => ({ message: user(`message ${index}`) }))
    const added = await stele.messages.append({ userId, conversationId: id, messages: turns })
    messages.push(...added.map(message => message.id))
  }
  return { id, messages }
}

/** Messages and items found by their ids, in conversations of any length. */
export function lookupSuite(bed: Bed): void {
  test('messages and items of a long conversation are found without reading it', async () => {
    const statements: string[] = []
    // What the log does by itself would be counted too.
    const audit = { sequence: false }
    const stele = await (await bed.place()).stele({ audit, onSql: statement => statements.push(statement) })
    const { id, messages } = await conversationOf(stele, 5_000)
    // The user's key is looked up once.
    await stele.messages.list({ userId, conversationId: id, limit: 1 })
    for (const seq of [0, 1, 63, 64, 700, 2_500, 4_936, 4_998, 4_999]) {
      const messageId = messages[seq] ?? ''
      statements.length = 0
      expect(await stele.messages.get(userId, id, messageId)).toMatchObject({ id: messageId, seq })
      expect(statements.length, `message ${seq}`).toBeLessThanOrEqual(5)
      statements.length = 0
      const item = `${messageId}0`
      expect(await stele.conversationItems.get(userId, id, item)).toMatchObject({ id: item })
      expect(statements.length, `item ${seq}`).toBeLessThanOrEqual(7)
    }
    expect(await stele.messages.get(userId, id, unknown)).toBeUndefined()
    expect(await stele.messages.get(userId, id, 'no id')).toBeUndefined()
    await failure('item_not_found', stele.conversationItems.get(userId, id, `${unknown}0`))
    await failure('conversation_not_found', stele.messages.get('bob', id, messages[7] ?? ''))
    await failure('conversation_not_found', stele.conversationItems.get('bob', id, `${messages[7]}0`))
  })

  test('while a conversation is read through for an id that it has not, others get their turn', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await conversationOf(stele, 5_000)
    let turns = 0
    const count = (): void => {
      turns++
      waiting = setImmediate(count)
    }
    let waiting = setImmediate(count)
    await failure('item_not_found', stele.conversationItems.get(userId, id, 'rs_of_nobody'))
    clearImmediate(waiting)
    expect(turns).toBeGreaterThanOrEqual(2)
  })

  test('ids that are not in the order of their messages are found all the same', async () => {
    const stele = await (await bed.place()).stele()
    const { id, messages } = await conversationOf(stele, 300)
    await stele.database.kysely.transaction().execute(async db => {
      for (const [seq, messageId] of messages.toReversed().entries())
        await db
          .updateTable('messages')
          .set({ id: messageId })
          .where('user_id', '=', userId)
          .where('conversation_id', '=', id)
          .where('seq', '=', seq)
          .execute()
    })
    for (const [at, messageId] of messages.entries()) {
      if (at % 30 !== 0) continue
      expect(await stele.messages.get(userId, id, messageId)).toMatchObject({ seq: 299 - at })
      expect(await stele.conversationItems.get(userId, id, `${messageId}0`)).toMatchObject({
        id: `${messageId}0`,
      })
    }
  })

  test('whether ids are free is looked up once for all that are given', async () => {
    const statements: string[] = []
    const stele = await (await bed.place()).stele({ onSql: statement => statements.push(statement) })
    const { id, messages } = await conversationOf(stele, 5_000)
    const items = Array.from({ length: 20 }, (_, index) => ({
      type: 'reasoning',
      id: `rs_${index}`,
      summary: [],
    }))
    const add = (given: readonly object[]) =>
      stele.conversationItems.create({ userId, conversationId: id, items: given })
    statements.length = 0
    await add([...items.slice(0, 19), { role: 'user', content: 'x' }])
    expect(statements.filter(text => text.startsWith('select')).length).toBeLessThanOrEqual(12)
    await failure('invalid_value', add(items.slice(18)))
    await failure('invalid_value', add([{ id: `${messages[3]}0`, role: 'user', content: 'x' }]))
    await add(items.slice(19))
    expect(await stele.conversationItems.get(userId, id, 'rs_0')).toEqual({ ...items[0] })
  })

  test('a page behind very many deleted messages takes few statements, and others get their turn', async () => {
    const statements: string[] = []
    const stele = await (await bed.place()).stele({ onSql: statement => statements.push(statement) })
    const { id, messages } = await conversationOf(stele, 5_000)
    await stele.database.kysely
      .updateTable('messages')
      .set({ deleted_at: 1 })
      .where('user_id', '=', userId)
      .where('conversation_id', '=', id)
      .where('seq', '>', 0)
      .execute()
    statements.length = 0
    let turns = 0
    const count = (): void => {
      turns++
      waiting = setImmediate(count)
    }
    let waiting = setImmediate(count)
    const page = { userId, conversationId: id, limit: 1, order: 'desc' } as const
    expect(await stele.conversationItems.list(page)).toMatchObject({
      items: [{ id: `${messages[0]}0` }],
      hasMore: false,
    })
    clearImmediate(waiting)
    expect(statements.length).toBeLessThanOrEqual(60)
    expect(turns).toBeGreaterThanOrEqual(5)
  })

  test('what calls brought and replied is found in the conversation and in its forks', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('1')], 'a')
    await exchange(stele, [user('1'), assistant('a'), user('2')], 'b')
    const fork = await exchange(stele, [user('1'), assistant('a'), user('two')], 'c')
    for (const conversationId of [first.call.conversationId, fork.call.conversationId]) {
      const { items } = await stele.conversationItems.list({
        userId,
        conversationId,
        limit: 10,
        order: 'asc',
      })
      expect(items).toHaveLength(4)
      for (const item of items)
        expect(await stele.conversationItems.get(userId, conversationId, item.id)).toEqual(item)
    }
    const { items } = await stele.conversationItems.list({
      userId,
      conversationId: first.call.conversationId,
      limit: 2,
      order: 'desc',
    })
    for (const { id } of items)
      await failure('item_not_found', stele.conversationItems.get(userId, fork.call.conversationId, id))
  })
}
