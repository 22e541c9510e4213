import { expect, test } from 'vitest'
import type { Database } from '../../src/db/database.ts'
import { columnsOf, type Row, type SealedBytes, type Tables } from '../../src/db/tables.ts'
import { newConversationRow, newMessageRow } from '../../src/store/new-rows.ts'
import type { Bed } from '../harness/databases.ts'

const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index)

/** Texts that a careless encoding of arrays, literals or parameters would change. */
const awkwardTexts = [
  '',
  ' ',
  'NULL',
  'null',
  '{}',
  '{"a":1}',
  '{1,2,NULL}',
  'a,b',
  '"quoted"',
  "it's",
  'back\\slash',
  '\\\\',
  '\\x41',
  '\\N',
  '$1',
  '?',
  ':name',
  '%s',
  'tab\tline\nreturn\rform\f',
  'emoji 👩‍👩‍👧‍👦 café ﷽',
  '\u202e\u2028\u2029\ufeff',
  'x'.repeat(100_000),
]

export function batchSuite(bed: Bed): void {
  test('gives back every text exactly, whatever is in it', async () => {
    const database = await migrated(bed)
    const rows = awkwardTexts.map((text, index) =>
      conversationRow({ id: `conv_${index}`, intent: text, parent_id: text }),
    )
    await database.batch(batch => batch.insert('conversations', rows))
    const found = await database.batch(batch =>
      batch.find('conversations', ['user_id', 'id'], rows, ['id', 'intent', 'parent_id']),
    )
    expect(found.map(row => [row.id, row.intent, row.parent_id]).sort()).toEqual(
      rows.map(row => [row.id, row.intent, row.parent_id]).sort(),
    )
  })

  test('of each key only the latest rows are found, where no more are asked for', async () => {
    const database = await migrated(bed)
    const rows = ['ada', 'bob'].flatMap(user_id =>
      Array.from({ length: 7 }, (_, index) => conversationRow({ user_id, id: `conv_${index}` })),
    )
    await database.batch(batch => batch.insert('conversations', rows.toReversed()))
    const keys = ['ada', 'bob', 'nobody'].map(user_id => ({ user_id }))
    const found = await database.batch(batch =>
      batch.find('conversations', ['user_id'], keys, ['user_id', 'id'], { latest: { by: 'id', limit: 3 } }),
    )
    expect(found.map(({ user_id, id }) => `${user_id} ${id}`).sort()).toEqual(
      ['ada', 'bob'].flatMap(user => [4, 5, 6].map(index => `${user} conv_${index}`)),
    )
  })

  test('finds rows by awkward texts and no others', async () => {
    const database = await migrated(bed)
    const texts = awkwardTexts.filter(text => text.length < 1_000)
    const rows = texts.map(text => conversationRow({ user_id: `u${text}`, id: `conv_${text}` }))
    await database.batch(batch => batch.insert('conversations', rows))
    for (const { user_id, id } of rows) {
      const found = await database.batch(batch =>
        batch.find('conversations', ['user_id', 'id'], [{ user_id, id }], ['user_id', 'id']),
      )
      expect(found).toEqual([{ user_id, id }])
    }
  })

  test('gives back every byte value, no bytes, and a view into a larger buffer', async () => {
    const database = await migrated(bed)
    const values = [
      everyByte,
      new Uint8Array(0),
      Buffer.from('xxabcxx').subarray(2, 5),
      new Uint8Array(300_000).fill(92),
    ]
    const rows = values.map((content, seq) => messageRow({ seq, content, echo: content }))
    await database.batch(batch => batch.insert('messages', rows))
    const found = await database.batch(batch =>
      batch.find(
        'messages',
        ['user_id', 'conversation_id'],
        [{ user_id: 'ada', conversation_id: 'conv_1' }],
        ['seq', 'content', 'echo'],
      ),
    )
    for (const { seq, content, echo } of found) {
      expect(bytesOf(content).equals(values[seq] ?? Buffer.from('?'))).toBe(true)
      expect(bytesOf(echo).equals(values[seq] ?? Buffer.from('?'))).toBe(true)
    }
    expect(found).toHaveLength(values.length)
  })

  test('an update puts bytes in the place of bytes', async () => {
    const database = await migrated(bed)
    await database.batch(batch => batch.insert('messages', [messageRow({ seq: 0 }), messageRow({ seq: 1 })]))
    const place = { conversation_id: 'conv_1', user_id: 'ada' }
    const updates = [everyByte, new Uint8Array(0)].map((content, seq) => ({
      set: { content: stored(content), echo: stored(content) },
      match: { ...place, seq },
    }))
    const key = ['conversation_id', 'user_id', 'seq'] as const
    await database.batch(batch => batch.update('messages', ['content', 'echo'], key, updates))
    const found = await database.batch(batch =>
      batch.find('messages', ['conversation_id', 'user_id'], [place], ['seq', 'content', 'echo']),
    )
    expect(found).toHaveLength(2)
    for (const { seq, content, echo } of found)
      expect([bytesOf(content), bytesOf(echo)]).toEqual(Array(2).fill(bytesOf(updates[seq]?.set.content)))
  })

  test('gives back integers up to 2^53 - 1, negative ones and zero as numbers', async () => {
    const database = await migrated(bed)
    const numbers = [0, -1, 2 ** 31, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]
    const rows = numbers.map((created_at, index) =>
      conversationRow({ id: `conv_${index}`, created_at, parent_seq: created_at }),
    )
    await database.batch(batch => batch.insert('conversations', rows))
    const found = await database.batch(batch =>
      batch.find('conversations', ['user_id', 'id'], rows, ['id', 'created_at', 'parent_seq']),
    )
    const byId = new Map(found.map(row => [row.id, row]))
    expect(numbers.map((_, index) => byId.get(`conv_${index}`)?.created_at)).toEqual(numbers)
    expect(numbers.map((_, index) => byId.get(`conv_${index}`)?.parent_seq)).toEqual(numbers)
  })

  test('keeps null apart from the empty text, from no bytes and from zero', async () => {
    const database = await migrated(bed)
    await database.batch(batch =>
      batch.insert('messages', [
        messageRow({ seq: 0, model: null, echo: null, echo_from: null }),
        messageRow({ seq: 1, model: '', echo: new Uint8Array(0), echo_from: 0 }),
      ]),
    )
    const keys = [0, 1].map(seq => ({ user_id: 'ada', conversation_id: 'conv_1', seq }))
    const found = await database.batch(batch =>
      batch.find('messages', ['user_id', 'conversation_id', 'seq'], keys, [
        'seq',
        'model',
        'echo',
        'echo_from',
      ]),
    )
    const [first, second] = found.sort((a, b) => a.seq - b.seq)
    expect(first).toMatchObject({ model: null, echo: null, echo_from: null })
    expect(second).toMatchObject({ model: '', echo_from: 0 })
    expect(bytesOf(second?.echo)).toHaveLength(0)
  })

  test('finds nothing for no keys, for unknown keys, and inserts nothing for no rows', async () => {
    const database = await migrated(bed)
    await database.batch(async batch => {
      await batch.insert('users', [])
      await batch.insertAbsent('users', [])
      await batch.insertOrAdd('usage_daily', ['user_id', 'day', 'model'], ['calls'], [])
      expect(await batch.update('users', ['role'], ['id'], [])).toBe(0)
      expect(await batch.find('users', ['id'], [], ['id'])).toEqual([])
      expect(await batch.find('users', ['id'], [{ id: 'nobody' }], ['id'])).toEqual([])
    })
  })

  test('finds every row of a key that names many, locked or not', async () => {
    const database = await migrated(bed)
    const rows = Array.from({ length: 40 }, (_, seq) =>
      messageRow({ seq, chain_hash: seq % 2 === 0 ? 'even' : 'odd' }),
    )
    await database.batch(batch => batch.insert('messages', rows))
    for (const lock of [false, true]) {
      const found = await database.batch(batch =>
        batch.find('messages', ['user_id', 'chain_hash'], [{ user_id: 'ada', chain_hash: 'even' }], ['seq'], {
          lock,
        }),
      )
      expect(found.map(row => row.seq).sort((a, b) => a - b)).toEqual(
        Array.from({ length: 20 }, (_, index) => index * 2),
      )
    }
  })

  test('an insert of a row that is there fails and takes its whole transaction with it', async () => {
    const database = await migrated(bed)
    await database.batch(batch => batch.insert('conversations', [conversationRow({ id: 'conv_1' })]))
    const failing = database.batch(async batch => {
      await batch.insert('conversations', [conversationRow({ id: 'conv_2' })])
      await batch.insert('conversations', [
        conversationRow({ id: 'conv_3' }),
        conversationRow({ id: 'conv_1' }),
      ])
    })
    const error = await failing.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(database.classify(error)).toBe('rejected')
    const rows = await database.kysely.selectFrom('conversations').select('id').execute()
    expect(rows).toEqual([{ id: 'conv_1' }])
  })

  test('what throws inside a batch undoes it and reaches the caller unchanged, and the next batch works', async () => {
    const database = await migrated(bed)
    const mistake = new Error('a mistake')
    const failing = database.batch(async batch => {
      await batch.insert('conversations', [conversationRow({ id: 'conv_1' })])
      throw mistake
    })
    await expect(failing).rejects.toBe(mistake)
    await database.batch(batch => batch.insert('conversations', [conversationRow({ id: 'conv_1' })]))
  })

  test('a mistake of the program is not taken for an unavailable database', async () => {
    const database = await migrated(bed)
    for (const mistake of [new RangeError('Invalid time value'), new TypeError('x is not a function')]) {
      const failing = database.batch(async () => Promise.reject(mistake))
      await expect(failing).rejects.toBe(mistake)
      expect(database.classify(mistake)).toBe('rejected')
    }
  })

  test('insertAbsent adds what is missing and leaves what is there as it is', async () => {
    const database = await migrated(bed)
    const before = conversationRow({ id: 'conv_1', intent: 'first' })
    await database.batch(batch => batch.insert('conversations', [before]))
    await database.batch(batch =>
      batch.insertAbsent('conversations', [
        conversationRow({ id: 'conv_1', intent: 'second' }),
        conversationRow({ id: 'conv_2', intent: 'new' }),
      ]),
    )
    const rows = await database.kysely
      .selectFrom('conversations')
      .select(['id', 'intent'])
      .orderBy('id')
      .execute()
    expect(rows).toEqual([
      { id: 'conv_1', intent: 'first' },
      { id: 'conv_2', intent: 'new' },
    ])
  })

  test('insertOrAdd adds up exactly the columns it was told to', async () => {
    const database = await migrated(bed)
    const add = (row: Partial<Row<'usage_daily'>>): Promise<void> =>
      database.batch(batch =>
        batch.insertOrAdd(
          'usage_daily',
          ['user_id', 'day', 'model'],
          ['calls', 'cost_nanousd'],
          [usageRow(row)],
        ),
      )
    await add({ calls: 1, cost_nanousd: 2 ** 40, errors: 7 })
    await add({ calls: 2, cost_nanousd: 3, errors: 9 })
    await add({ model: 'other', calls: 5 })
    const rows = await database.kysely.selectFrom('usage_daily').selectAll().orderBy('model').execute()
    expect(rows).toEqual([
      usageRow({ calls: 3, cost_nanousd: 2 ** 40 + 3, errors: 7 }),
      usageRow({ model: 'other', calls: 5 }),
    ])
  })

  test('update changes the rows that still match and says how many did', async () => {
    const database = await migrated(bed)
    const rows = ['conv_1', 'conv_2', 'conv_3'].map(id => conversationRow({ id, next_seq: 4, intent: 'old' }))
    await database.batch(batch => batch.insert('conversations', rows))
    const updates = [
      {
        set: { next_seq: 5, intent: 'it\'s "new", {\\}' },
        match: { user_id: 'ada', id: 'conv_1', next_seq: 4 },
      },
      { set: { next_seq: 6, intent: null }, match: { user_id: 'ada', id: 'conv_2', next_seq: 4 } },
      { set: { next_seq: 9, intent: 'moved' }, match: { user_id: 'ada', id: 'conv_3', next_seq: 3 } },
      { set: { next_seq: 9, intent: 'stranger' }, match: { user_id: 'eve', id: 'conv_1', next_seq: 4 } },
    ]
    const changed = await database.batch(batch =>
      batch.update('conversations', ['next_seq', 'intent'], ['user_id', 'id', 'next_seq'], updates),
    )
    expect(changed).toBe(2)
    const found = await database.kysely
      .selectFrom('conversations')
      .select(['id', 'next_seq', 'intent'])
      .orderBy('id')
      .execute()
    expect(found).toEqual([
      { id: 'conv_1', next_seq: 5, intent: 'it\'s "new", {\\}' },
      { id: 'conv_2', next_seq: 6, intent: null },
      { id: 'conv_3', next_seq: 4, intent: 'old' },
    ])
  })

  test('batches that run at once do not see into each other', async () => {
    const database = await migrated(bed)
    const rows = Array.from({ length: 50 }, (_, index) => conversationRow({ id: `conv_${index}` }))
    const outcomes = await Promise.allSettled(
      rows.map((row, index) =>
        database.batch(async batch => {
          await batch.insert('conversations', [row])
          if (index % 5 === 0) throw new Error('undone')
        }),
      ),
    )
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(10)
    const found = await database.kysely.selectFrom('conversations').select('id').execute()
    expect(found.map(row => row.id).sort()).toEqual(
      rows
        .filter((_, index) => index % 5 !== 0)
        .map(row => row.id)
        .sort(),
    )
  })

  test('a batch and a query at once wait for each other', async () => {
    const database = await migrated(bed)
    const [, users] = await Promise.all([
      database.batch(batch => batch.insert('conversations', [conversationRow({})])),
      database.kysely.selectFrom('users').selectAll().execute(),
      database.exclusively(tx => tx.selectFrom('users').selectAll().execute()),
    ])
    expect(users).toEqual([])
  })

  test('rows hold every column of their table and nothing else', async () => {
    const database = await migrated(bed)
    await database.batch(batch => batch.insert('conversations', [conversationRow({})]))
    const [row] = await database.kysely.selectFrom('conversations').selectAll().execute()
    expect(Object.keys(row ?? {}).sort()).toEqual(columnsOf('conversations').toSorted())
  })
}

async function migrated(bed: Bed): Promise<Database> {
  const database = await (await bed.place()).migrated()
  return database
}

/** Bytes in the place of content, whatever they are. */
function stored(bytes: Uint8Array): SealedBytes {
  return bytes as unknown as SealedBytes
}

function bytesOf(content: SealedBytes | null | undefined): Buffer {
  return Buffer.from((content ?? []) as unknown as Uint8Array)
}

function conversationRow(fields: Partial<Tables['conversations']>): Tables['conversations'] {
  const row = newConversationRow({ user_id: 'ada', id: 'conv_1', next_seq: 0, created_at: 1 })
  return { ...row, title: null, metadata: null, preferences: null, ...fields }
}

/** As it is stored: whatever its content is, here it is bytes. */
function messageRow(fields: Partial<Row<'messages'>>): Tables['messages'] {
  return newMessageRow({
    user_id: 'ada',
    conversation_id: 'conv_1',
    seq: 0,
    id: 'msg_1',
    role: 'user',
    content: Uint8Array.of(1),
    chain_hash: 'chain',
    is_anchor: 1,
    wire_hash: 'wire',
    created_at: 1,
    ...fields,
  }) as unknown as Tables['messages']
}

function usageRow(fields: Partial<Row<'usage_daily'>>): Row<'usage_daily'> {
  return {
    user_id: 'ada',
    day: '2026-01-31',
    model: 'm',
    calls: 0,
    errors: 0,
    input_tokens: 0,
    output_tokens: 0,
    cost_nanousd: 0,
    unpriced_calls: 0,
    ...fields,
  }
}
