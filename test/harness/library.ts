import { ConversationMemory } from '../../src/library/conversation-memory.ts'
import type { Stele } from '../../src/stele.ts'
import { exchange, user } from './chat.ts'

/** Does once everything that an application does with conversations, so that its statements can be looked at. */
export async function useLibrary(stele: Stele): Promise<void> {
  const { conversations, messages, conversationItems, contextSnapshots } = stele
  const userId = 'ada'
  const said = [{ message: user('first words') }]
  const made = await conversations.create({ userId, sessionId: 's', messages: said })
  const conversationId = made.id
  const [one] = await messages.append({ userId, conversationId, messages: said, expectedSeq: 1 })
  await exchange(stele, [user('first words'), user('other words')], 'a')
  for (const place of [{}, { before: made }, { after: made }]) {
    await conversations.list({ userId, ...place })
    await conversations.list({ userId, ...place, includeDeleted: true })
    await conversations.list({ userId, ...place, recent: true })
  }
  await conversations.bySession(userId, 's')
  await conversations.totals(userId, conversationId)
  await conversations.update(userId, conversationId, { title: 'T', sessionId: 't' })
  await messages.list({ userId, conversationId, after: 0 })
  await messages.list({ userId, conversationId, before: 1, includeDeleted: true })
  const memory = new ConversationMemory(stele)
  await memory.getWindow({ userId, conversationId, messages: 1, keepSystem: true })
  await memory.getHistory({ userId, conversationId })
  const messageId = one?.id ?? ''
  await messages.update(userId, conversationId, messageId, { intent: 'i' })
  await messages.delete(userId, conversationId, messageId)
  await conversationItems.create({
    userId,
    conversationId,
    items: [{ role: 'user', content: 'x', id: 'msg_x' }],
  })
  for (const order of ['asc', 'desc'] as const) {
    const { items } = await conversationItems.list({ userId, conversationId, limit: 2, order })
    const after = items[0]?.id ?? ''
    await conversationItems.list({ userId, conversationId, limit: 2, order, after })
  }
  await conversationItems.get(userId, conversationId, 'msg_x')
  await conversationItems.delete(userId, conversationId, 'msg_x')
  const { id } = await contextSnapshots.create({ userId, conversationId, upToSeq: 0, content: 'c' })
  await contextSnapshots.list({ userId, conversationId, before: { id, upToSeq: 1 } })
  await contextSnapshots.latest(userId, conversationId)
  await contextSnapshots.delete(userId, id)
  await conversations.delete(userId, conversationId)
  await conversations.restore(userId, conversationId)
  await conversations.purge(userId, conversationId)
}
