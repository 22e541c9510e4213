import { expect, test } from 'vitest'
import { type HeldConversation, HeldConversations } from '../../src/library/held-conversations.ts'
import type { Message } from '../../src/store/messages.ts'

const messageOf = (seq: number): Message => ({
  id: `msg_${seq}`,
  conversationId: 'conv',
  seq,
  role: 'user',
  raw: `{"role":"user","content":"${seq}"}`,
  isKept: true,
  model: undefined,
  callId: undefined,
  intent: undefined,
  costNanousd: undefined,
  metadata: undefined,
  createdAt: seq,
  deletedAt: undefined,
})

const stateOf = (nextSeq: number) => ({ id: 'conv', nextSeq, createdAt: 0, updatedAt: nextSeq })

const nothing: HeldConversation = {
  states: [stateOf(0)],
  messages: [],
  isWhole: true,
  olderSystem: [],
}

test('adding a message copies nothing of what is held, and cuts it once in many times', () => {
  const held = new HeldConversations({ maxConversations: 2, maxMessages: 1_000, maxBytes: 10_000_000 })
  held.set('a', nothing)
  const lists = new Set<readonly Message[]>()
  for (let seq = 0; seq < 10_000; seq++) {
    held.append('a', stateOf(seq + 1), messageOf(seq))
    const now = held.get('a')
    if (now === undefined) throw new Error('nothing is held')
    lists.add(now.messages)
    expect(now.states).toEqual([stateOf(seq + 1)])
    expect(now.messages.at(-1)?.seq).toBe(seq)
    expect(now.isWhole).toBe(seq < 1_000)
    expect(held.size.messages).toBe(now.messages.length)
    expect(held.size.messages).toBeLessThanOrEqual(1_000)
    if (seq >= 1_000) expect(held.size.messages).toBeGreaterThanOrEqual(750)
  }
  const seqs = held.get('a')?.messages.map(({ seq }) => seq) ?? []
  expect(seqs).toEqual(seqs.map((_, index) => 10_000 - seqs.length + index))
  expect(lists.size).toBeLessThan(50)
})

test('a message of a conversation that is not held, or that is larger than all that may be, is not held', () => {
  const held = new HeldConversations({ maxConversations: 2, maxMessages: 10, maxBytes: 2_000 })
  held.append('b', stateOf(1), messageOf(0))
  expect(held.get('b')).toBeUndefined()
  held.set('a', { ...nothing, messages: [messageOf(0)] })
  held.append('a', stateOf(2), { ...messageOf(1), raw: 'x'.repeat(5_000) })
  expect(held.get('a')).toBeUndefined()
  expect(held.size).toEqual({ conversations: 0, messages: 0, bytes: 0 })
})
