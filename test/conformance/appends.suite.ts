import { expect, test } from 'vitest'
import { assistant, begin, chatBody, exchange, historyOf, reproduced, system, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { rowsOf } from '../harness/rows.ts'

const said = (...messages: readonly Record<string, unknown>[]) => messages.map(message => ({ message }))

/** Messages that applications add by themselves. */
export function appendsSuite(bed: Bed): void {
  test('messages are appended as they were given, one after another, with all that is said of them', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada' })
    const raw = '{ "role": "user",  "content":"with spaces" }'
    const [first, second] = await stele.messages.append({
      userId: 'ada',
      conversationId: id,
      expectedSeq: 0,
      messages: [
        { message: raw, metadata: { tags: ['a'] }, createdAt: 1_000 },
        {
          message: { role: 'critic', content: 'no', extra: { x: 1 } },
          model: 'm-1',
          intent: 'review',
          costNanousd: 1_500,
        },
      ],
    })
    expect(await stele.messages.list({ userId: 'ada', conversationId: id })).toEqual([first, second])
    expect(first).toMatchObject({ seq: 0, role: 'user', raw, metadata: { tags: ['a'] }, createdAt: 1_000 })
    expect(second).toMatchObject({
      seq: 1,
      role: 'critic',
      raw: '{"role":"critic","content":"no","extra":{"x":1}}',
      model: 'm-1',
      intent: 'review',
      costNanousd: 1_500,
      callId: undefined,
    })
    expect(await stele.messages.get('ada', id, second?.id ?? '')).toEqual(second)
    expect(await stele.conversations.get('ada', id)).toMatchObject({ nextSeq: 2 })
  })

  test('an append that expects another end is refused with both, and alone', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada', messages: said(user('one')) })
    const append = (content: string, expectedSeq?: number) =>
      stele.messages.append({ userId: 'ada', conversationId: id, messages: said(user(content)), expectedSeq })
    const [good, stale, free, ...rest] = await Promise.allSettled([
      append('two', 1),
      append('too late', 1),
      append('three'),
      append('four', 3),
      append('ahead', 9),
    ])
    expect([good, stale, free, ...rest].map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
      'rejected',
    ])
    expect(stale).toMatchObject({
      reason: {
        code: 'sequence_conflict',
        status: 409,
        details: { conversation: id, expected: 1, actual: 2 },
      },
    })
    expect(await historyOf(stele, id)).toEqual([user('one'), user('two'), user('three'), user('four')])
  })

  test('nothing is appended to a conversation that is unknown, of somebody else, or deleted', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada' })
    const append = (userId: string, conversationId: string) =>
      stele.messages.append({ userId, conversationId, messages: said(user('x')) })
    await failure('conversation_not_found', append('bob', id))
    await failure('conversation_not_found', append('ada', 'conv_01h455vb4pex5vsknk084sn02q'))
    await failure('conversation_not_found', append('ada', 'no id'))
    await stele.conversations.delete('ada', id)
    await failure('conversation_not_found', append('ada', id))
    expect(await rowsOf(stele, 'messages')).toEqual([])
  })

  test('what is no message is refused, named, and the others of the same append with it', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada' })
    const bad: [string, unknown][] = [
      ['missing_required_parameter', {}],
      ['invalid_value', { role: '' }],
      ['invalid_json', '{"role":"user"'],
      ['invalid_value', '{"role":"user"},{"role":"user"}'],
      ['invalid_value', '{"role":"user"}],"n":[1'],
      ['invalid_value', []],
    ]
    for (const [code, message] of bad) {
      const messages = [{ message: user('fine') }, { message: message as string }]
      const append = stele.messages.append({ userId: 'ada', conversationId: id, messages })
      const error = await failure(code as 'invalid_value', append, JSON.stringify(message))
      if (code !== 'invalid_json') expect(error.param).toContain('messages[1].message')
    }
    await failure('invalid_value', stele.messages.append({ userId: 'ada', conversationId: id, messages: [] }))
    expect(await rowsOf(stele, 'messages')).toEqual([])
  })

  test('a call that resends what was appended goes on in the same conversation, and its bytes come back', async () => {
    const stele = await (await bed.place()).stele()
    const opening = [system('be brief'), assistant('Welcome!')]
    const { id } = await stele.conversations.create({ userId: 'ada', messages: said(...opening) })
    await stele.messages.append({ userId: 'ada', conversationId: id, messages: said(user('q1')) })
    const first = await exchange(stele, [...opening, user('q1')], 'a1')
    expect(first.settled.conversationId).toBe(id)
    await stele.messages.append({
      userId: 'ada',
      conversationId: id,
      messages: said({ role: 'tool', tool_call_id: 't', content: '7' }, assistant('seven')),
    })
    const history = await historyOf(stele, id)
    const second = await exchange(stele, [...history, user('q2')], 'a2')
    expect(second.settled.conversationId).toBe(id)
    expect(await historyOf(stele, id)).toEqual([...history, user('q2'), assistant('a2')])
    expect(await reproduced(stele, second.call.callId)).toMatchObject({ request: second.request })
    expect(await stele.conversations.list()).toHaveLength(1)
  })

  test('a call that names a conversation with nothing but instructions goes on in it', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada', messages: said(system('be brief')) })
    const { settled } = await exchange(stele, [system('be brief'), user('q')], 'a', { conversationId: id })
    expect(settled.conversationId).toBe(id)
    expect(await stele.conversations.get('ada', id)).toMatchObject({ nextSeq: 3, parentId: undefined })
  })

  test("what is appended to a fork follows the fork, also when its last message is its parent's", async () => {
    const stele = await (await bed.place()).stele()
    // The same request while the first awaits its reply: a fork without a message of its own.
    const call = await begin(stele, chatBody([user('q')]))
    const empty = await begin(stele, chatBody([user('q')]))
    expect(empty.conversationId).not.toBe(call.conversationId)
    await stele.messages.append({
      userId: 'ada',
      conversationId: empty.conversationId,
      expectedSeq: 1,
      messages: said(assistant('by hand')),
    })
    const history = [user('q'), assistant('by hand')]
    expect(await historyOf(stele, empty.conversationId)).toEqual(history)
    const next = await exchange(stele, [...history, user('more')], 'a')
    expect(next.settled.conversationId).toBe(empty.conversationId)
    expect(await reproduced(stele, next.call.callId)).toMatchObject({ request: next.request })
  })

  test('calls and appends at once leave every message in one place', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada', messages: said(user('q')) })
    const append = (content: string) =>
      stele.messages.append({ userId: 'ada', conversationId: id, messages: said(user(content)) })
    await Promise.all([
      ...Array.from({ length: 20 }, (_, index) => append(`note ${index}`)),
      ...Array.from({ length: 5 }, (_, index) => exchange(stele, [user(`other ${index}`)], 'a')),
      exchange(stele, [user('q')], 'a'),
      append('last'),
    ])
    const seqs = (await stele.messages.list({ userId: 'ada', conversationId: id, limit: 100 })).map(
      ({ seq }) => seq,
    )
    expect(seqs).toEqual(seqs.map((_, index) => index))
    expect(seqs.length).toBeGreaterThanOrEqual(22)
  })
}

/** Two processes at one conversation; needs a database that outlives its connection. */
export function appendRacesSuite(bed: Bed): void {
  test('two processes append 10,000 messages to one conversation: no gap, no double, no fork', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { id } = await stele.conversations.create({ userId: 'ada' })
    const children = ['left', 'right'].map(name =>
      startChild('append-messages.ts', place, { conversationId: id, name, count: 5_000 }),
    )
    for (const child of children) expect(await child.next()).toBe('ready')
    for (const child of children) child.tell('go')
    for (const child of children) expect(await child.next()).toBe('half')
    // However the two were scheduled, both have an end in mind now that another writer has moved.
    const messages = said(user('between'))
    const [between] = await stele.messages.append({ userId: 'ada', conversationId: id, messages })
    expect(between?.seq).toBe(5_000)
    for (const child of children) child.tell('go')
    const reports = (await Promise.all(children.map(child => child.next()))) as {
      added: [number, string][]
      conflicts: number
    }[]
    const told = [...reports.flatMap(({ added }) => added), [5_000, 'between'] as const].sort(
      ([a], [b]) => a - b,
    )
    const stored = (await rowsOf(stele, 'messages')).sort((a, b) => a.seq - b.seq)
    expect(told.map(([seq]) => seq)).toEqual(Array.from({ length: 10_001 }, (_, seq) => seq))
    expect(new Set(told.map(([, content]) => content)).size).toBe(10_001)
    const texts = await stele.messages.list({ userId: 'ada', conversationId: id, limit: 20_000 })
    expect(texts.map(({ seq, raw }) => [seq, (JSON.parse(raw) as { content: string }).content])).toEqual(told)
    // Each was hashed onto the one before it.
    let [chain, wire] = ['', '']
    for (const [index, { raw }] of texts.entries()) {
      wire = stele.hashes.wire(wire, raw)
      expect(stored[index]?.wire_hash).toBe(wire)
      const { role, content } = JSON.parse(raw) as { role: string; content: string }
      chain = stele.hashes.chain(chain, JSON.stringify({ content, role }))
      expect(stored[index]?.chain_hash).toBe(chain)
    }
    expect(reports.every(({ conflicts }) => conflicts > 0)).toBe(true)
    expect(await stele.conversations.list()).toMatchObject([{ id, nextSeq: 10_001 }])
    for (const child of children) expect(await child.ended()).toBe(0)
  }, 60_000)
}
