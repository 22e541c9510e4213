import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import { assistant, exchange, historyOf, reproduced, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { rowsOf } from '../harness/rows.ts'

const userId = 'ada'

const search = {
  type: 'web_search_call',
  id: 'ws_1',
  status: 'completed',
  action: { type: 'search', query: 'q' },
}

const call = (call_id: string): object => ({ type: 'function_call', call_id, name: 'look', arguments: '{}' })

/** Ids of the items of a conversation, the oldest first, read in pages of `limit`. */
async function idsOf(stele: Stele, conversationId: string, limit = 3): Promise<string[]> {
  const ids: string[] = []
  for (let after: string | undefined; ; after = ids.at(-1)) {
    const page = { userId, conversationId, order: 'asc', limit, after } as const
    const { items, hasMore } = await stele.conversationItems.list(page)
    ids.push(...items.map(({ id }) => id))
    expect(items.length).toBe(hasMore ? limit : items.length)
    if (!hasMore) return ids
  }
}

async function exportOf(stele: Stele): Promise<string> {
  let lines = ''
  await exportLines(stele.database, async more => {
    lines += more
  })
  return lines
}

/** The items of conversations, whoever brought the messages that they stand for. */
export function itemsSuite(bed: Bed): void {
  test('items are listed across forks, and one that is deleted is gone from both', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('1')], 'a')
    const conversationId = first.call.conversationId
    await exchange(stele, [user('1'), assistant('a'), user('2')], 'b')
    const fork = (await exchange(stele, [user('1'), assistant('a'), user('two')], 'c')).call.conversationId
    expect(fork).not.toBe(conversationId)
    const all = await idsOf(stele, conversationId)
    const forked = await idsOf(stele, fork)
    expect(forked.slice(0, 2)).toEqual(all.slice(0, 2))
    expect(new Set([...all, ...forked]).size).toBe(6)
    for (const [limit, order] of [
      [1, 'desc'],
      [2, 'desc'],
      [5, 'asc'],
    ] as const) {
      const { items } = await stele.conversationItems.list({ userId, conversationId: fork, limit, order })
      const expected = order === 'asc' ? forked : forked.toReversed()
      expect(items.map(({ id }) => id)).toEqual(expected.slice(0, limit))
    }
    await stele.conversationItems.delete(userId, fork, forked[1] ?? '')
    expect(await idsOf(stele, conversationId)).toEqual([all[0], all[2], all[3]])
    expect(await idsOf(stele, fork)).toEqual([forked[0], forked[2], forked[3]])
    expect(await reproduced(stele, first.call.callId)).toMatchObject({ response: first.response })
    await failure('item_not_found', stele.conversationItems.get(userId, fork, forked[1] ?? ''))
  })

  test('items of one message that are deleted at once are all gone, and with the last the message', async () => {
    const stele = await (await bed.place()).stele()
    const given = [{ role: 'assistant', content: 'Looking' }, call('c1'), call('c2'), call('c3')]
    const { id } = await stele.conversations.create({ userId, items: given })
    const [message, ...calls] = await idsOf(stele, id)
    await Promise.all(calls.map(item => stele.conversationItems.delete(userId, id, item)))
    expect(await idsOf(stele, id)).toEqual([message])
    expect(await historyOf(stele, id)).toEqual([{ role: 'assistant', content: 'Looking' }])
    const twice = await Promise.allSettled(
      [1, 2].map(() => stele.conversationItems.delete(userId, id, message ?? '')),
    )
    expect(twice.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await historyOf(stele, id)).toEqual([])
    expect(await idsOf(stele, id)).toEqual([])
  })

  test('of items that are added at once under one id, one is', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId })
    const add = () => stele.conversationItems.create({ userId, conversationId: id, items: [search] })
    const made = await Promise.allSettled([1, 2, 3, 4].map(add))
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await idsOf(stele, id)).toEqual(['ws_1'])
  })

  test('a message that is deleted takes its items along, and a list goes on behind them', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId, items: [search, call('c1')] })
    const { conversationId } = (await exchange(stele, [user('1')], 'a')).call
    await stele.conversationItems.create({ userId, conversationId, items: [call('c2')] })
    for (const [of, at] of [
      [id, 0],
      [conversationId, 1],
    ] as const) {
      const before = await idsOf(stele, of)
      const messages = await stele.messages.list({ userId, conversationId: of })
      await stele.messages.delete(userId, of, messages[at]?.id ?? '')
      const gone = before[at] ?? ''
      expect(await idsOf(stele, of)).toEqual(of === id ? [] : [before[0], before[2]])
      await failure('item_not_found', stele.conversationItems.get(userId, of, gone))
      await failure('item_not_found', stele.conversationItems.delete(userId, of, gone))
      const page = { userId, conversationId: of, limit: 5, order: 'asc', after: gone } as const
      const { items } = await stele.conversationItems.list(page)
      expect(items.map(item => item.id)).toEqual(before.slice(2))
    }
  })

  test('nobody reaches the items of another', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId, items: [{ role: 'user', content: 'mine' }] })
    const [item = ''] = await idsOf(stele, id)
    const { conversationItems: items } = stele
    const page = { userId: 'bob', conversationId: id, limit: 5, order: 'asc' } as const
    for (const attempt of [
      () => items.list(page),
      () => items.list({ ...page, after: item }),
      () => items.get('bob', id, item),
      () => items.delete('bob', id, item),
      () => items.create({ userId: 'bob', conversationId: id, items: [search] }),
    ])
      await failure('conversation_not_found', attempt)
    expect(await idsOf(stele, id)).toEqual([item])
    await stele.conversations.delete(userId, id)
    await failure('conversation_not_found', items.get(userId, id, item))
  })

  test('an export holds items that messages cannot tell, and what is deleted of them', async () => {
    const stele = await (await bed.place()).stele()
    const given = [search, { role: 'assistant', content: 'Looking' }, call('c1'), call('c2')]
    const { id } = await stele.conversations.create({ userId, items: given })
    await exchange(stele, [user('1')], 'a')
    const ids = await idsOf(stele, id)
    await stele.conversationItems.delete(userId, id, ids[2] ?? '')
    const left = await idsOf(stele, id)
    const exported = await exportOf(stele)

    const other = await (await bed.place()).stele()
    await importLines(other.database, other.hashes, Readable.from([Buffer.from(exported)]))
    expect(await idsOf(other, id)).toEqual(left)
    expect(await other.conversationItems.get(userId, id, 'ws_1')).toEqual(search)
    expect(await historyOf(other, id)).toEqual(await historyOf(stele, id))
    const withoutHead = (lines: string): string => lines.slice(lines.indexOf('\n'))
    expect(withoutHead(await exportOf(other))).toBe(withoutHead(exported))
  })

  test('of a conversation that is purged no item is left', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId, items: [search, call('c1')] })
    await stele.conversations.purge(userId, id)
    expect(await rowsOf(stele, 'messages')).toEqual([])
  })
}
