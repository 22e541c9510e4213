import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ConversationMemory } from '../../src/library/conversation-memory.ts'
import type { Conversation } from '../../src/store/conversations.ts'
import type { Message } from '../../src/store/messages.ts'
import { type Place, postgresPlace, sqlitePlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { LibraryModel, type ModelConversation, visible } from './library-model.ts'
import { type RealLibrary, step, take, textOf } from './library-steps.ts'

/** Raised by hand when a search is to go deeper. */
const scale = Number(process.env['PROPERTY_RUNS'] ?? 100) / 100

/** Milliseconds for a search with all that shrinking adds to it. */
const longestSearch = 240_000 * Math.max(1, scale)

const databases: [name: string, place: () => Promise<Place>, runs: number][] = [
  ['SQLite', sqlitePlace, 8],
  ['PostgreSQL', postgresPlace, 4],
]

/** So little that conversations and messages are let go all the time. */
const limits = { maxConversations: 3, maxMessages: 15, maxBytes: 10_000 }

/** What the searches came across, on all databases together: one that never gets there would prove nothing. */
const seen = { forks: 0, purged: 0, hits: 0 }

test.each(databases)(
  'however two writers append, call, fork, delete, restore and purge, every page and both memories show just that (%s)',
  { timeout: 2 * longestSearch },
  async (_, newPlace, runs) => {
    const place = await newPlace()
    const steles = [await place.stele(), await place.stele()] as const
    let texts = 0
    let users = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }), async steps => {
        const model = new LibraryModel()
        const writerOf = (stele: (typeof steles)[number]) => ({
          stele,
          memory: new ConversationMemory(stele, limits),
        })
        const real: RealLibrary = {
          writers: [writerOf(steles[0]), writerOf(steles[1])],
          userId: `user ${users++}`,
          nextText: () => `text ${texts++}`,
        }
        for (const each of steps) {
          const touched = await take(each, model, real)
          const other = model.conversations[each.at % Math.max(1, model.conversations.length)]
          for (const conversation of [touched, other])
            if (conversation !== undefined) await expectMemories(conversation, real, each.which)
        }
        await expectPages(model, real)
        seen.forks += model.conversations.filter(({ id, messages }) =>
          messages.some(m => m.owner.id !== id),
        ).length
        seen.purged += model.conversations.filter(({ state }) => state === 'purged').length
        for (const { memory } of real.writers) seen.hits += memory.stats().hits
      }),
      // Every step of shrinking runs on real databases: what is found by then is told.
      {
        numRuns: Math.ceil(runs * scale),
        interruptAfterTimeLimit: longestSearch,
        markInterruptAsFailure: true,
      },
    )
  },
)

test('the search has got to forks, to what is purged and to what the memories hold', () => {
  for (const [name, count] of Object.entries(seen)) expect(count, name).toBeGreaterThan(0)
})

/** Both memories show the conversation as it is now, and hold no more than they may. */
async function expectMemories(
  conversation: ModelConversation,
  { writers, userId }: RealLibrary,
  number: number,
): Promise<void> {
  const place = { userId, conversationId: conversation.id }
  for (const { memory } of writers) {
    const last = number % 3 === 0 ? undefined : 1 + (number % 8)
    const read = memory.getHistory({ ...place, last })
    if (conversation.state !== 'living') await failure('conversation_not_found', read)
    else {
      expect((await read).map(textOf)).toEqual(visible(conversation).slice(last === undefined ? 0 : -last))
      const window = await memory.getWindow({ ...place, messages: 2, keepSystem: number % 2 === 0 })
      expect(window.map(textOf)).toEqual(visible(conversation).slice(-2))
    }
    const { conversations, messages, bytes } = memory.stats()
    expect(conversations).toBeLessThanOrEqual(limits.maxConversations)
    expect(messages).toBeLessThanOrEqual(limits.maxMessages)
    expect(bytes).toBeLessThanOrEqual(limits.maxBytes)
  }
}

/** Every page, both ways, of conversations and of messages equals the model. */
async function expectPages(model: LibraryModel, { writers, userId }: RealLibrary): Promise<void> {
  const [{ stele }] = writers
  const living = model.living.map(({ id }) => id).sort()
  for (const recent of [false, true]) {
    const expected = recent
      ? living.filter(id => model.living.some(each => each.id === id && each.sessionId))
      : living
    const list = (place: { before?: Conversation | undefined; after?: Conversation | undefined }) =>
      stele.conversations.list({ userId, recent, limit: 3, ...place })
    // A page that does not go on would be read for ever.
    const down: Conversation[] = []
    for (let page = await list({}); page.length > 0; page = await list({ before: down.at(-1) })) {
      down.push(...page)
      expect(down.length).toBeLessThanOrEqual(expected.length)
    }
    const up = down.slice(-1)
    while (up[0] !== undefined) {
      const page = await list({ after: up[0] })
      if (page.length === 0) break
      up.unshift(...page)
      expect(up.length).toBeLessThanOrEqual(expected.length)
    }
    expect(down.map(({ id }) => id).sort()).toEqual(expected)
    expect(up).toEqual(down)
    const order = recent ? down.map(({ updatedAt }) => updatedAt) : down.map(({ id }) => id)
    expect(order).toEqual(order.toSorted().reverse())
  }
  for (const conversation of model.conversations) {
    const page = { userId, conversationId: conversation.id, limit: 3 }
    const found = await stele.conversations.get(userId, conversation.id)
    expect(found?.nextSeq).toBe(conversation.state === 'living' ? conversation.messages.length : undefined)
    if (conversation.state !== 'living') {
      await failure('conversation_not_found', stele.messages.list(page))
      continue
    }
    const expected = conversation.messages.filter(({ isDeleted }) => !isDeleted)
    const forward: Message[] = []
    for (let after = -1; ; after = forward.at(-1)?.seq ?? 0) {
      const next = await stele.messages.list({ ...page, after })
      if (next.length === 0) break
      forward.push(...next)
      expect(forward.length).toBeLessThanOrEqual(expected.length)
    }
    const backward: Message[] = []
    for (let before: number | undefined; ; before = backward[0]?.seq) {
      const next = await stele.messages.list({ ...page, before })
      if (next.length === 0) break
      backward.unshift(...next)
      expect(backward.length).toBeLessThanOrEqual(expected.length)
    }
    expect(forward.map(message => [message.seq, message.role, textOf(message)])).toEqual(
      expected.map(({ seq, role, content }) => [seq, role, content]),
    )
    expect(backward).toEqual(forward)
    expect(forward.map(({ conversationId }) => conversationId)).toEqual(expected.map(({ owner }) => owner.id))
  }
}
