import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import type { MessagePage } from '../../src/store/messages.ts'
import { assistant, begin, chatBody, exchange, historyOf, settle, system, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { rowsOf } from '../harness/rows.ts'

const said = (...messages: readonly Record<string, unknown>[]) => messages.map(message => ({ message }))
const unknown = 'conv_01h455vb4pex5vsknk084sn02q'

/** Conversations, messages, snapshots and users as applications keep them. */
export function librarySuite(bed: Bed): void {
  test('a conversation is made with all that is said of it, its user and its first messages', async () => {
    const stele = await (await bed.place()).stele()
    const made = await stele.conversations.create({
      userId: 'ada',
      sessionId: 's-1',
      title: 'Plans',
      intent: 'planning',
      status: 'open',
      metadata: { team: 7, tags: ['x'] },
      preferences: { tone: 'dry' },
      messages: said(user('q'), assistant('a')),
    })
    expect(made).toMatchObject({
      userId: 'ada',
      sessionId: 's-1',
      title: 'Plans',
      displayTitle: 'Plans',
      intent: 'planning',
      status: 'open',
      metadata: { team: 7, tags: ['x'] },
      preferences: { tone: 'dry' },
      nextSeq: 2,
      deletedAt: undefined,
    })
    expect(await stele.conversations.get('ada', made.id)).toEqual(made)
    expect(await stele.conversations.bySession('ada', 's-1')).toEqual(made)
    expect(await stele.conversations.bySession('bob', 's-1')).toBeUndefined()
    expect(await stele.users.get('ada')).toMatchObject({ id: 'ada', preferences: null })
    expect(await historyOf(stele, made.id)).toEqual([user('q'), assistant('a')])
  })

  test('an id or a session that is taken is refused, whoever asks first, and nothing is made', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada', sessionId: 's' })
    await failure('already_exists', stele.conversations.create({ userId: 'ada', id }))
    const again = { userId: 'ada', sessionId: 's', messages: said(user('q')) }
    await failure('already_exists', stele.conversations.create(again))
    await stele.conversations.create({ userId: 'bob', sessionId: 's' })
    const racing = await Promise.allSettled(
      Array.from({ length: 5 }, () => stele.conversations.create({ userId: 'ada', sessionId: 'new' })),
    )
    expect(racing.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await rowsOf(stele, 'conversations')).toHaveLength(3)
    expect(await rowsOf(stele, 'messages')).toEqual([])
    for (const bad of [{ id: 'x' }, { status: '' }, { sessionId: 'x'.repeat(257) }, { title: 'a\0b' }])
      await failure('invalid_value', stele.conversations.create({ userId: 'ada', ...bad }))
  })

  test('what is said of a conversation is changed, cleared or left', async () => {
    const stele = await (await bed.place()).stele()
    const { id, updatedAt } = await stele.conversations.create({
      userId: 'ada',
      title: 'old',
      intent: 'stays',
      metadata: { a: 1 },
    })
    const changed = await stele.conversations.update('ada', id, {
      title: 'new',
      metadata: null,
      preferences: { b: 2 },
      sessionId: 's',
    })
    expect(changed).toMatchObject({
      title: 'new',
      intent: 'stays',
      metadata: undefined,
      preferences: { b: 2 },
      sessionId: 's',
    })
    // Every change is told from the state before it, however quickly one follows another.
    expect(changed.updatedAt).toBeGreaterThan(updatedAt)
    expect(await stele.conversations.update('ada', id, { title: null, sessionId: null })).toMatchObject({
      title: undefined,
      sessionId: undefined,
    })
    await failure('conversation_not_found', stele.conversations.update('bob', id, { title: 'x' }))
    await failure('conversation_not_found', stele.conversations.update('ada', unknown, { title: 'x' }))
    await failure('invalid_value', stele.conversations.update('ada', id, { status: 'purged' }))
    await failure('invalid_value', stele.conversations.update('ada', id, { metadata: [] as never }))
  })

  test('a deleted conversation is hidden everywhere and comes back whole', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({
      userId: 'ada',
      sessionId: 's',
      messages: said(user('q')),
    })
    await stele.conversations.delete('ada', id)
    expect(await stele.conversations.get('ada', id)).toBeUndefined()
    expect(await stele.conversations.find(id)).toBeUndefined()
    expect(await stele.conversations.bySession('ada', 's')).toBeUndefined()
    expect(await stele.conversations.list({ userId: 'ada' })).toEqual([])
    expect(await stele.conversations.list({ userId: 'ada', recent: true })).toEqual([])
    expect(await stele.conversations.list({ includeDeleted: true })).toMatchObject([{ id }])
    const page = { userId: 'ada', conversationId: id }
    await failure('conversation_not_found', stele.messages.list(page))
    expect(await stele.messages.list({ ...page, includeDeleted: true })).toHaveLength(1)
    await failure('conversation_not_found', stele.conversations.update('ada', id, { title: 'x' }))
    await failure('conversation_not_found', stele.conversations.restore('bob', id))

    const other = await stele.conversations.create({ userId: 'ada', sessionId: 's' })
    await failure('already_exists', stele.conversations.restore('ada', id))
    await stele.conversations.delete('ada', other.id)
    expect(await stele.conversations.restore('ada', id)).toMatchObject({ sessionId: 's', nextSeq: 1 })
    expect(await historyOf(stele, id)).toEqual([user('q')])
  })

  test('conversations are paged both ways, by age and by last use', async () => {
    const stele = await (await bed.place()).stele()
    const made: string[] = []
    for (let index = 0; index < 7; index++) {
      made.push((await stele.conversations.create({ userId: 'ada', sessionId: `s${index}` })).id)
      await nextMillisecond()
    }
    await stele.conversations.create({ userId: 'bob', sessionId: 's0' })
    const hidden = await stele.conversations.create({ userId: 'ada' })
    for (const index of [3, 0, 5]) {
      await stele.conversations.update('ada', made[index] ?? '', { intent: 'used' })
      await nextMillisecond()
    }
    const byUse = [5, 0, 3, 6, 4, 2, 1].map(index => made[index])
    for (const [recent, expected] of [
      [true, byUse],
      [false, [hidden.id, ...made.toReversed()]],
    ] as const) {
      const forward: string[] = []
      const pages = []
      for (;;) {
        const before = pages.at(-1)?.at(-1)
        const page = await stele.conversations.list({ userId: 'ada', recent, limit: 3, before })
        if (page.length === 0) break
        pages.push(page)
        forward.push(...page.map(({ id }) => id))
      }
      expect(forward).toEqual(expected)
      const back = await stele.conversations.list({
        userId: 'ada',
        recent,
        limit: 3,
        after: pages[1]?.[0]?.id,
      })
      expect(back).toEqual(pages[0])
    }
    await failure('invalid_value', stele.conversations.list({ recent: true }))
  })

  test('messages are paged both ways, across forks, without those that were deleted', async () => {
    const stele = await (await bed.place()).stele()
    const history = [user('0'), assistant('1'), user('2'), assistant('3')]
    const { id } = await stele.conversations.create({ userId: 'ada', messages: said(...history) })
    const { call } = await exchange(stele, [...history.slice(0, 2), user('2b')], '3b')
    expect(call.conversationId).not.toBe(id)
    await stele.messages.append({
      userId: 'ada',
      conversationId: call.conversationId,
      messages: said(user('4b'), assistant('5b')),
    })
    const seqs = async (page: Partial<MessagePage>): Promise<number[]> => {
      const conversationId = call.conversationId
      return (await stele.messages.list({ userId: 'ada', conversationId, ...page })).map(({ seq }) => seq)
    }
    expect(await seqs({})).toEqual([0, 1, 2, 3, 4, 5])
    expect(await seqs({ order: 'desc' })).toEqual([5, 4, 3, 2, 1, 0])
    expect(await seqs({ limit: 3, before: 4 })).toEqual([1, 2, 3])
    expect(await seqs({ limit: 3, after: -1 })).toEqual([0, 1, 2])
    expect(await seqs({ limit: 3, after: 0 })).toEqual([1, 2, 3])
    expect(await seqs({ limit: 3, after: 3 })).toEqual([4, 5])
    expect(await seqs({ limit: 3, after: 0, order: 'desc' })).toEqual([3, 2, 1])
    expect(await seqs({ after: 0, before: 2 })).toEqual([1])
    expect(await seqs({ after: 5 })).toEqual([])

    const [, shared] = await stele.messages.list({ userId: 'ada', conversationId: call.conversationId })
    expect(shared?.conversationId).toBe(id)
    await stele.messages.delete('ada', call.conversationId, shared?.id ?? '')
    const [event] = await stele.auditEvents.list({ action: 'message.deleted' })
    expect(event).toMatchObject({ userId: 'ada', actor: 'library', target: shared?.id })
    expect(await seqs({ limit: 3, after: -1 })).toEqual([0, 2, 3])
    expect(await seqs({ limit: 3, before: 3 })).toEqual([0, 2])
    expect(await seqs({ includeDeleted: true })).toEqual([0, 1, 2, 3, 4, 5])
    expect((await historyOf(stele, id)).map(({ content }) => content)).toEqual(['0', '2', '3'])
  })

  test('a message is changed and deleted; calls already made keep their bytes', async () => {
    const stele = await (await bed.place()).stele()
    const { call, request } = await exchange(stele, [user('secret')], 'a')
    const id = call.conversationId
    const [question] = await stele.messages.list({ userId: 'ada', conversationId: id })
    const messageId = question?.id ?? ''
    expect(await stele.messages.update('ada', id, messageId, { metadata: { a: 1 }, intent: 'ask' })).toEqual({
      ...question,
      metadata: { a: 1 },
      intent: 'ask',
    })
    await stele.messages.update('ada', id, messageId, { metadata: null })
    const before = await stele.conversations.get('ada', id)
    expect(await stele.messages.get('ada', id, messageId)).toMatchObject({
      metadata: undefined,
      intent: 'ask',
    })
    await failure('conversation_not_found', stele.messages.delete('bob', id, messageId))
    await failure('message_not_found', stele.messages.delete('ada', id, 'msg_01h455vb4pex5vsknk084sn02q'))

    await stele.messages.delete('ada', id, messageId)
    expect(await stele.messages.get('ada', id, messageId)).toBeUndefined()
    await failure('message_not_found', stele.messages.delete('ada', id, messageId))
    expect(await historyOf(stele, id)).toEqual([assistant('a')])
    expect((await stele.calls.exactRequest('ada', call.callId)).toString()).toBe(request)
    const after = await stele.conversations.get('ada', id)
    expect(after?.displayTitle).toBeUndefined()
    expect(after?.updatedAt).toBeGreaterThan(before?.updatedAt ?? 0)
    // The conversation goes on from it all the same.
    await exchange(stele, [user('secret'), assistant('a'), user('more')], 'b')
    expect(await stele.conversations.list()).toMatchObject([{ id, nextSeq: 4 }])
  })

  test('the totals of a conversation are those of its calls, and an unknown price is counted', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada', messages: said(user('q')) })
    const none = {
      calls: 0,
      errors: 0,
      inputTokens: 0,
      outputTokens: 0,
      cacheReadInputTokens: 0,
      reasoningOutputTokens: 0,
      costNanousd: 0,
      unpricedCalls: 0,
    }
    expect(await stele.conversations.totals('ada', id)).toEqual(none)
    const usage = { inputTokens: 10, outputTokens: 5, cacheReadInputTokens: 4, reasoningOutputTokens: 2 }
    const outcome = { reply: { finishReasons: [], usage, message: { content: 'a' } } }
    const first = await begin(stele, chatBody([user('q')]))
    await settle(stele, first, { status: 'completed', costNanousd: 7_000, ...outcome })
    const more = [user('q'), assistant('a'), user('more')]
    const failed = await begin(stele, chatBody(more))
    expect(failed.conversationId).toBe(id)
    await settle(stele, failed, { status: 'failed' })
    await begin(stele, chatBody(more))
    expect(await stele.conversations.totals('ada', id)).toEqual({
      ...none,
      ...usage,
      calls: 3,
      errors: 1,
      costNanousd: 7_000,
      unpricedCalls: 1,
    })
    await failure('conversation_not_found', stele.conversations.totals('bob', id))
    await failure('conversation_not_found', stele.conversations.totals('ada', unknown))
  })

  test('a conversation without a title is shown with its first question', async () => {
    const stele = await (await bed.place()).stele()
    const made = await stele.conversations.create({
      userId: 'ada',
      messages: said(system('be brief'), user('# How do I *fold* a map?\nIt is large.')),
    })
    expect(made).toMatchObject({ title: undefined, displayTitle: 'How do I fold a map?' })
    await exchange(stele, [system('be brief'), user('other words')], 'a')
    const forked = await exchange(stele, [system('be brief'), user('other words'), user('fork')], 'b')
    const again = await exchange(stele, [system('be brief'), user('other words'), user('fork 2')], 'c')
    expect(again.call.conversationId).not.toBe(forked.call.conversationId)
    await stele.conversations.create({ userId: 'ada', title: 'Given' })
    await stele.conversations.create({ userId: 'ada' })
    const titles = (await stele.conversations.list({ userId: 'ada' })).map(each => each.displayTitle)
    expect(titles).toEqual([
      undefined,
      'Given',
      'other words',
      'other words',
      'other words',
      'How do I fold a map?',
    ])
  })

  test('context snapshots stand for messages that there are', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({
      userId: 'ada',
      messages: said(user('q'), assistant('a')),
    })
    const at = (upToSeq: number, content = `up to ${upToSeq}`) =>
      stele.contextSnapshots.create({ userId: 'ada', conversationId: id, upToSeq, content })
    const first = await at(0)
    const second = await at(1)
    const better = await at(1, 'better')
    await failure('invalid_value', at(2))
    await failure('invalid_value', at(-1))
    await failure(
      'conversation_not_found',
      stele.contextSnapshots.create({ userId: 'bob', conversationId: id, upToSeq: 0, content: '' }),
    )
    expect(await stele.contextSnapshots.latest('ada', id)).toEqual(better)
    expect(await stele.contextSnapshots.latest('bob', id)).toBeUndefined()
    const page = { userId: 'ada', conversationId: id, limit: 2 }
    expect(await stele.contextSnapshots.list(page)).toEqual([better, second])
    expect(await stele.contextSnapshots.list({ ...page, before: second })).toEqual([first])
    await failure('snapshot_not_found', stele.contextSnapshots.delete('bob', better.id))
    await stele.contextSnapshots.delete('ada', better.id)
    expect(await stele.contextSnapshots.latest('ada', id)).toEqual(second)
    const [event] = await stele.auditEvents.list({ action: 'snapshot.deleted' })
    expect(event).toMatchObject({ userId: 'ada', actor: 'library', target: better.id })
  })

  test('what is known of a user is changed, cleared or left', async () => {
    const stele = await (await bed.place()).stele()
    await stele.users.create('ada', { email: 'ada@example.org' })
    const preferences = { theme: 'dark', sizes: [1, 2] }
    expect(await stele.users.update('ada', { username: 'Ada', preferences })).toMatchObject({
      email: 'ada@example.org',
      username: 'Ada',
      preferences,
    })
    expect(await stele.users.update('ada', { email: null })).toMatchObject({ email: null, preferences })
    expect(await stele.users.list()).toMatchObject([{ id: 'ada', username: 'Ada', preferences }])
    await failure('user_not_found', stele.users.update('bob', { username: 'Bob' }))
  })

  test('a change that fails fails alone', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada' })
    const outcomes = await Promise.allSettled([
      stele.conversations.update('ada', id, { title: 'one' }),
      stele.conversations.update('ada', unknown, { title: 'two' }),
      exchange(stele, [user('q')], 'a'),
      stele.conversations.create({ userId: 'ada', id }),
      stele.messages.append({ userId: 'ada', conversationId: id, messages: said(user('q')) }),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ])
    expect(await counted(stele)).toBe(3)
  })
}

async function counted(stele: Stele): Promise<number> {
  return (await rowsOf(stele, 'messages')).length
}

/** What is used within one millisecond has no order but that of its id. */
async function nextMillisecond(): Promise<void> {
  for (const now = Date.now(); Date.now() <= now; ) await new Promise(resolve => setImmediate(resolve))
}
