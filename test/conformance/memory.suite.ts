import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { ConversationMemory, type ConversationMemoryOptions } from '../../src/library/conversation-memory.ts'
import type { Stele } from '../../src/stele.ts'
import type { Message } from '../../src/store/messages.ts'
import { assistant, begin, chatBody, exchange, system, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

const unknown = 'conv_01h455vb4pex5vsknk084sn02q'

/** The texts of messages. */
const texts = (messages: readonly Message[]): string[] =>
  messages.map(({ raw }) => (JSON.parse(raw) as { content: string }).content)

interface Talk {
  readonly stele: Stele
  readonly memory: ConversationMemory
  readonly place: { readonly userId: string; readonly conversationId: string }
  add(content: string, more?: { exclusive?: boolean }): Promise<Message>
  history(): Promise<string[]>
  /** What the database has, read past the memory. */
  stored(): Promise<string[]>
}

/** A conversation of these words, and a memory that has not seen it yet. */
async function talk(
  stele: Stele,
  words: readonly string[] = [],
  options?: ConversationMemoryOptions,
): Promise<Talk> {
  const { id } = await stele.conversations.create({
    userId: 'ada',
    messages: words.map(word => ({ message: user(word) })),
  })
  return talkAt(stele, id, options)
}

function talkAt(stele: Stele, conversationId: string, options?: ConversationMemoryOptions): Talk {
  const memory = new ConversationMemory(stele, options)
  const place = { userId: 'ada', conversationId }
  return {
    stele,
    memory,
    place,
    add: (content, more) => memory.addMessage({ ...place, message: user(content), ...more }),
    history: async () => texts(await memory.getHistory(place)),
    stored: async () => texts(await stele.messages.list({ ...place, limit: 10_000 })),
  }
}

/** Conversations held in the process, with nobody else at the database. */
export function memorySuite(bed: Bed): void {
  test('a message that was added is on record, in the history, and equal in both', async () => {
    const { stele, memory, place, history } = await talk(await (await bed.place()).stele(), ['one'])
    expect(await history()).toEqual(['one'])
    const added = await memory.addMessage({
      ...place,
      message: { role: 'critic', content: 'no' },
      model: 'm-1',
      intent: 'review',
      costNanousd: 5,
      metadata: { a: { b: [1] } },
    })
    const stored = await stele.messages.list(place)
    expect(stored.at(-1)).toEqual(added)
    expect(await memory.getHistory(place)).toEqual(stored)
    expect(await memory.getHistory({ ...place, last: 1 })).toEqual([added])
    expect(memory.stats()).toMatchObject({ conversations: 1, messages: 2, hits: 2, misses: 1 })
  })

  test('the first message makes its conversation, whether it was given an id or not', async () => {
    const stele = await (await bed.place()).stele()
    const memory = new ConversationMemory(stele)
    const first = await memory.addMessage({ userId: 'ada', message: user('hello') })
    expect(await stele.conversations.get('ada', first.conversationId)).toMatchObject({ nextSeq: 1 })
    const place = { userId: 'bob', conversationId: unknown }
    await Promise.all(
      ['a', 'b'].map(word => memory.addMessage({ ...place, message: user(word), exclusive: word === 'a' })),
    )
    expect(texts(await memory.getHistory(place))).toEqual(['a', 'b'])
    // Somebody else's conversation is nobody's.
    await failure('conversation_not_found', memory.getHistory({ ...place, userId: 'ada' }))
    await failure('invalid_value', memory.addMessage({ ...place, conversationId: 'x', message: user('a') }))
    await failure('invalid_value', memory.addMessage({ userId: 'eve', message: { role: '' } }))
    expect(await countOf(stele, 'conversations')).toBe(2)
  })

  test('a reading that memory can answer reads no message from the database', async () => {
    const statements: string[] = []
    // What the log does by itself would be counted too.
    const audit = { sequence: false }
    const stele = await (await bed.place()).stele({ audit, onSql: statement => statements.push(statement) })
    const { call } = await exchange(stele, [user('0')], '1')
    await exchange(stele, [user('0'), assistant('1'), user('2')], '3')
    const fork = await exchange(stele, [user('0'), assistant('1'), user('2b')], '3b')
    expect(fork.call.conversationId).not.toBe(call.conversationId)
    const { memory, place, add, history } = talkAt(stele, fork.call.conversationId)
    const words = ['0', '1', '2b', '3b']
    expect(await history()).toEqual(words)
    await add('4b')
    statements.length = 0
    expect(await history()).toEqual([...words, '4b'])
    expect(texts(await memory.getHistory({ ...place, last: 2 }))).toEqual(['3b', '4b'])
    expect(texts(await memory.getWindow({ ...place, messages: 3, keepSystem: true }))).toEqual([
      '2b',
      '3b',
      '4b',
    ])
    expect(texts(await memory.getWindow({ ...place, tokens: 10_000 }))).toEqual([...words, '4b'])
    expect(statements).toHaveLength(4)
    for (const statement of statements) expect(statement).not.toContain('messages')
    expect(texts(await memory.getHistory({ ...place, fromDatabase: true }))).toEqual([...words, '4b'])
    expect(statements.some(statement => statement.includes('messages'))).toBe(true)
  })

  test('a window holds the newest messages that fit, and the system messages if asked', async () => {
    const stele = await (await bed.place()).stele()
    const countTokens = ({ raw }: Message): number => (JSON.parse(raw) as { content: string }).content.length
    const { id } = await stele.conversations.create({
      userId: 'ada',
      messages: [
        system('rules'),
        user('aaaa'),
        assistant('bb'),
        system('!'),
        user('ccc'),
        assistant('d'),
      ].map(message => ({ message })),
    })
    const windows: [window: object, expected: string[]][] = [
      [{ messages: 2 }, ['ccc', 'd']],
      [{ messages: 99 }, ['rules', 'aaaa', 'bb', '!', 'ccc', 'd']],
      [{ tokens: 4 }, ['ccc', 'd']],
      [{ tokens: 6 }, ['!', 'ccc', 'd']],
      [{ tokens: 7 }, ['bb', '!', 'ccc', 'd']],
      [{ tokens: 7, messages: 2 }, ['ccc', 'd']],
      [{ messages: 4, keepSystem: true }, ['rules', '!', 'ccc', 'd']],
      [{ messages: 1, keepSystem: true }, ['rules']],
      [{ tokens: 12, keepSystem: true }, ['rules', 'bb', '!', 'ccc', 'd']],
      [{ tokens: 4, keepSystem: true }, []],
    ]
    for (const [window, expected] of windows) {
      // Of a memory that holds everything, of one that holds a part, and of one that holds nothing yet.
      for (const options of [{}, { maxMessages: 3 }, { maxMessages: 1 }]) {
        const { memory, place, history } = talkAt(stele, id, { countTokens, ...options })
        expect(texts(await memory.getWindow({ ...place, ...window }))).toEqual(expected)
        await history()
        expect(texts(await memory.getWindow({ ...place, ...window }))).toEqual(expected)
      }
    }
    const { memory, place } = talkAt(stele, id)
    // By a quarter of the bytes of '{"role":"assistant","content":"d"}' and '{"role":"user","content":"ccc"}'.
    expect(texts(await memory.getWindow({ ...place, tokens: 9 + 8 }))).toEqual(['ccc', 'd'])
    expect(texts(await memory.getWindow({ ...place, tokens: 9 + 7 }))).toEqual(['d'])
    await failure('invalid_value', memory.getWindow(place))
    await failure('invalid_value', memory.getWindow({ ...place, tokens: 0 }))
    await failure('invalid_value', memory.getHistory({ ...place, last: 0.5 }))
    const bad = new ConversationMemory(stele, { countTokens: () => Number.NaN })
    await failure('invalid_value', bad.getWindow({ ...place, tokens: 9 }))
  })

  test('additions and readings at once leave every message in its place', async () => {
    const { memory, place, add, history, stored } = await talk(await (await bed.place()).stele(), ['0'])
    const added = await Promise.all(
      Array.from({ length: 30 }, async (_, index) => {
        if (index % 3 === 0) await history()
        if (index % 10 === 7) memory.clear(place)
        return add(String(index + 1))
      }),
    )
    expect(added.map(({ seq }) => seq).sort((a, b) => a - b)).toEqual(added.map((_, index) => index + 1))
    expect(await history()).toEqual(await stored())
    expect(await history()).toHaveLength(31)
  })

  test('no more is held than allowed, and what is not held is right all the same', async () => {
    const stele = await (await bed.place()).stele()
    const long = await talk(
      stele,
      Array.from({ length: 20 }, (_, index) => `${index}`),
    )
    const limits = { maxConversations: 3, maxMessages: 12, maxBytes: 20_000 }
    const memory = new ConversationMemory(stele, limits)
    const places = [long.place]
    for (const name of ['a', 'b', 'c', 'd']) places.push((await talk(stele, [name, 'x'.repeat(900)])).place)
    for (let round = 0; round < 3; round++) {
      for (const place of places) {
        await memory.addMessage({ ...place, message: user(`more ${round}`) })
        expect(await memory.getHistory(place)).toEqual(await stele.messages.list(place))
        const { conversations, messages, bytes } = memory.stats()
        expect(conversations).toBeLessThanOrEqual(limits.maxConversations)
        expect(messages).toBeLessThanOrEqual(limits.maxMessages)
        expect(bytes).toBeLessThanOrEqual(limits.maxBytes)
        expect(messages).toBeGreaterThan(0)
      }
    }
    // Of the long one its newest part is held, which answers what it can.
    const { hits } = memory.stats()
    await memory.getHistory({ ...long.place, last: 10 })
    expect(await memory.getHistory({ ...long.place, last: 10 })).toHaveLength(10)
    expect(memory.stats().hits).toBe(hits + 1)
    memory.clear()
    expect(memory.stats()).toMatchObject({ conversations: 0, messages: 0, bytes: 0 })
    expect(await stele.messages.list(long.place)).toHaveLength(23)
    await failure('invalid_value', () => new ConversationMemory(stele, { maxBytes: 0 }))
  })

  test('what it gives out cannot change what it holds', async () => {
    const { memory, place, add } = await talk(await (await bed.place()).stele())
    await memory.addMessage({ ...place, message: user('a'), metadata: { list: [1] } })
    const first = await memory.getHistory(place)
    first.pop()
    await add('b')
    const [message] = await memory.getHistory(place)
    expect(() => (message?.metadata?.['list'] as number[] | undefined)?.push(2)).toThrow(TypeError)
    expect(() => Object.assign(message ?? {}, { raw: '' })).toThrow(TypeError)
    expect(texts(await memory.getHistory(place))).toEqual(['a', 'b'])
  })

  test('when the database fails every reading raises, whatever is held, and a write too', async () => {
    const stele = await (await bed.place()).stele({ retryFor: 50 })
    const { memory, place, add, history } = await talk(stele, ['one'])
    await history()
    await sql`ALTER TABLE conversations RENAME TO elsewhere`.execute(stele.database.kysely)
    await expect(history()).rejects.toThrow()
    await expect(memory.getWindow({ ...place, messages: 1 })).rejects.toThrow()
    await expect(add('two')).rejects.toThrow()
    await sql`ALTER TABLE elsewhere RENAME TO conversations`.execute(stele.database.kysely)
    await add('three')
    expect(await history()).toEqual(['one', 'three'])

    await sql`ALTER TABLE messages RENAME TO elsewhere`.execute(stele.database.kysely)
    expect(await history()).toEqual(['one', 'three'])
    memory.clear()
    await expect(history()).rejects.toThrow()
    await sql`ALTER TABLE elsewhere RENAME TO messages`.execute(stele.database.kysely)
    expect(await history()).toEqual(['one', 'three'])

    await stele.close()
    await expect(history()).rejects.toThrow()
    memory.clear()
    await expect(history()).rejects.toThrow()
    await failure('shutting_down', add('four'))
  })
}

/** Conversations held in the process while others change them. */
export function memoryAmongWritersSuite(bed: Bed): void {
  test('what another writer does is seen by the next reading', async () => {
    const place = await bed.place()
    const { stele, memory, place: at, add, history } = await talk(await place.stele(), ['0', '1', '2'])
    const other = await place.stele()
    const { userId, conversationId } = at
    const expectHistory = async (...words: string[]): Promise<void> => {
      expect(await history()).toEqual(words)
      expect(await history()).toEqual(words)
      expect(texts(await memory.getWindow({ ...at, messages: 2 }))).toEqual(words.slice(-2))
    }
    await expectHistory('0', '1', '2')
    await other.messages.append({ ...at, messages: [{ message: user('3') }] })
    await expectHistory('0', '1', '2', '3')
    const stored = await other.messages.list(at)
    await other.messages.delete(userId, conversationId, stored[1]?.id ?? '')
    await expectHistory('0', '2', '3')
    await other.messages.update(userId, conversationId, stored[2]?.id ?? '', { intent: 'ask' })
    expect((await memory.getHistory(at))[1]).toMatchObject({ intent: 'ask' })
    // A change that does not move the end, right before an addition.
    await other.messages.delete(userId, conversationId, stored[2]?.id ?? '')
    await add('4')
    await expectHistory('0', '3', '4')
    await other.conversations.delete(userId, conversationId)
    await failure('conversation_not_found', history())
    await failure('conversation_not_found', add('never'))
    await other.conversations.restore(userId, conversationId)
    await expectHistory('0', '3', '4')
    await other.conversations.purge(userId, conversationId)
    await failure('conversation_not_found', memory.getWindow({ ...at, messages: 1 }))
    expect(memory.stats()).toMatchObject({ conversations: 0, messages: 0, bytes: 0 })
    // An id that names nothing any more names a new conversation.
    await add('anew')
    await expectHistory('anew')
    expect(await rowsOf(stele, 'messages')).toHaveLength(1)
  })

  test('an addition goes to the end wherever it is, or with exclusive only where it was taken to be', async () => {
    const place = await bed.place()
    const { memory, place: at, add, history } = await talk(await place.stele(), ['0'])
    const other = await place.stele()
    const append = (word: string) => other.messages.append({ ...at, messages: [{ message: user(word) }] })
    await history()
    await append('1')
    expect(await add('2')).toMatchObject({ seq: 2 })
    expect(await history()).toEqual(['0', '1', '2'])
    await add('3', { exclusive: true })
    await append('4')
    const conflict = await failure('sequence_conflict', add('5', { exclusive: true }))
    expect(conflict.details).toMatchObject({ expected: 4, actual: 5 })
    // Whoever tries again without having looked is refused again.
    await failure('sequence_conflict', add('5', { exclusive: true }))
    expect(await history()).toEqual(['0', '1', '2', '3', '4'])
    expect(await add('5', { exclusive: true })).toMatchObject({ seq: 5 })
    await history()
    await other.conversations.purge('ada', at.conversationId)
    await failure('conversation_not_found', add('6', { exclusive: true }))
    expect(memory.stats().conversations).toBe(0)
  })

  test('what is changed in the conversation that a fork came from is seen in the fork', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const other = await place.stele()
    const { call } = await exchange(stele, [user('0')], '1')
    await exchange(stele, [user('0'), assistant('1'), user('2')], '3')
    const fork = await exchange(stele, [user('0'), assistant('1'), user('2b')], '3b')
    const forkId = fork.call.conversationId
    const again = await exchange(
      stele,
      [user('0'), assistant('1'), user('2b'), assistant('3b'), user('4b')],
      '5b',
    )
    expect(again.call.conversationId).toBe(forkId)
    const deeper = await begin(
      stele,
      chatBody([user('0'), assistant('1'), user('2b'), assistant('3b'), user('x')]),
    )
    const forks = [talkAt(stele, forkId), talkAt(stele, deeper.conversationId)] as const
    expect(await forks[0].history()).toEqual(['0', '1', '2b', '3b', '4b', '5b'])
    expect(await forks[1].history()).toEqual(['0', '1', '2b', '3b', 'x'])
    const [first] = await other.messages.list({ userId: 'ada', conversationId: call.conversationId })
    await other.messages.delete('ada', call.conversationId, first?.id ?? '')
    expect(await forks[0].history()).toEqual(['1', '2b', '3b', '4b', '5b'])
    expect(await forks[1].history()).toEqual(['1', '2b', '3b', 'x'])
    await other.conversations.purge('ada', call.conversationId)
    await forks[0].add('6b')
    for (const { history, stored } of forks) expect(await history()).toEqual(await stored())
    expect(await forks[0].history()).toEqual(['1', '2b', '3b', '4b', '5b', '6b'])
  })

  test('another process adds to the same conversation: nobody loses a message, every reading is a state of it', async () => {
    const place = await bed.place()
    const { place: at, add, history, stored } = await talk(await place.stele())
    const child = startChild('append-messages.ts', place, { ...at, name: 'child', count: 200 })
    expect(await child.next()).toBe('ready')
    child.tell('go')
    const report = child.next().then(half => {
      expect(half).toBe('half')
      child.tell('go')
      return child.next()
    })
    let isOver = false
    const over = (): void => {
      isOver = true
    }
    report.then(over, over)
    let before: string[] = []
    let own = 0
    while (!isOver || own < 20) {
      await add(`own ${own++}`)
      const now = await history()
      expect(now.slice(0, before.length)).toEqual(before)
      expect(now).toContain(`own ${own - 1}`)
      before = now
    }
    expect(((await report) as { added: unknown[] }).added).toHaveLength(200)
    expect(await history()).toEqual(await stored())
    expect(await history()).toHaveLength(200 + own)
    expect(await child.ended()).toBe(0)
  })
}
