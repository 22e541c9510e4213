import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { migrateUp } from '../../src/db/migrate.ts'
import {
  columnsOf,
  contentColumnsOf,
  isOfStore,
  primaryKeys,
  type TableName,
  tableNames,
} from '../../src/db/tables.ts'
import { encodeContent } from '../../src/privacy/content.ts'
import { parseMasterKey } from '../../src/privacy/master-key.ts'
import { destroyKeys } from '../../src/recorder/data-keys.ts'
import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'
import { openSecret } from '../../src/store/secrets.ts'
import { storedCompletionStore } from '../../src/store/stored-completions.ts'
import { removeLogKeys } from '../harness/begun-log.ts'
import { begin, completionBody, exchange, settle, user } from '../harness/chat.ts'
import type { Bed, Place } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { cacheAnswer, callWithAll } from '../harness/every-kind.ts'
import { dropGuards, withoutGuards } from '../harness/guards.ts'
import { inBatch, rowsOf, storedRowsOf } from '../harness/rows.ts'

const secret = 'heliotrope-7731'

/** Says the secret in every way that the record knows. */
async function sayEverywhere(stele: Stele, userId = 'ada'): Promise<{ callId: string; failedId: string }> {
  const { callId, conversationId } = await callWithAll(stele, [user(`${secret} asked`)], `${secret} told`, {
    userId,
  })
  await cacheAnswer(stele, { userId, callId, text: secret })
  await stele.users.update(userId, { preferences: { word: secret } })
  const about = { title: secret, metadata: { word: secret }, preferences: { word: secret } }
  await stele.conversations.update(userId, conversationId, about)
  const [message] = await stele.messages.append({
    userId,
    conversationId,
    messages: [{ message: user(`${secret} appended`), metadata: { word: secret } }],
  })
  await stele.messages.update(userId, conversationId, message?.id ?? '', { metadata: { word: secret } })
  await stele.conversationItems.create({
    userId,
    conversationId,
    items: [{ type: 'reasoning', summary: [{ type: 'summary_text', text: secret }] }],
  })
  const embedding = JSON.stringify({ model: 'm', input: secret })
  await stele.recorder.begin({ userId, provider: 'test', body: embedding, operation: 'embeddings' })
  await stele.contextSnapshots.create({ userId, conversationId, upToSeq: 0, content: `${secret} in short` })
  // The same history in other words: an echo is kept.
  const respelled = `{"model":"m","messages":[ {"content":"${secret} asked","role":"user"},{"role":"assistant","content":"${secret} told"},{"role":"user","content":"${secret} again"}]}`
  const failed = await begin(stele, respelled, { userId })
  await settle(stele, failed, {
    status: 'failed',
    httpStatus: 400,
    body: Buffer.from(`data: ${secret}\n\n`.repeat(200)),
    errorCode: 'external',
    errorMessage: `The provider did not like ${secret}`,
  })
  await stele.auditEvents.add({ userId, by: operator, action: 'usage.repaired', details: { reason: secret } })
  await stele.auditLogger.logEvent({ eventType: 'noticed', userId, details: { what: secret } })
  return { callId, failedId: failed.callId }
}

/** Columns in whose stored values the secret can be read. */
async function leaks(stele: Stele): Promise<string[]> {
  const found = new Set<string>()
  for (const table of tableNames)
    for (const row of await storedRowsOf(stele.database, table))
      for (const [column, value] of Object.entries(row as object)) {
        const text = value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value)
        if (text.includes(secret) || text.includes(secret.slice(0, 10))) found.add(`${table}.${column}`)
      }
  return [...found]
}

/** Tables and columns in which the secret is readable to whoever has the keys. */
async function knowing(stele: Stele): Promise<string[]> {
  const found = new Set<string>()
  for (const table of tableNames)
    for (const row of await rowsOf(stele, table))
      for (const { name } of contentColumnsOf(table)) {
        const value = (row as Record<string, unknown>)[name]
        if (value !== null) found.add(`${table}.${name}`)
      }
  return [...found].sort()
}

const contentTables = tableNames.filter(table => contentColumnsOf(table).length > 0)

/** Sets a stored value of the rows that a condition names to what an expression says. */
async function tamper(stele: Stele, table: TableName, set: string, where = '1 = 1'): Promise<void> {
  const update = sql.raw(`UPDATE ${table} SET ${set} WHERE ${where}`)
  const { database } = stele
  if (isOfStore(table)) await withoutGuards(database, () => update.execute(database.kysely))
  else
    await database.kysely.transaction().execute(async tx => {
      await database.permit(tx, 'rotation')
      await update.execute(tx)
    })
}

export function encryptionSuite(bed: Bed): void {
  test('nothing that was said can be read in any column, and all of it with the keys', async () => {
    const stele = await (await bed.place()).stele()
    const { callId, failedId } = await sayEverywhere(stele)
    expect(await leaks(stele)).toEqual([])
    const all = contentTables.flatMap(table => contentColumnsOf(table).map(({ name }) => `${table}.${name}`))
    expect(await knowing(stele)).toEqual(all.sort())
    expect((await stele.calls.exactRequest('ada', callId)).toString()).toContain(secret)
    expect((await stele.calls.exactResponse('ada', callId))?.toString()).toBe(
      completionBody(`${secret} told`, { id: `chatcmpl-${callId}` }),
    )
    expect((await stele.calls.get('ada', failedId))?.errorMessage).toContain(secret)
    const conversations = await stele.conversations.list({ userId: 'ada' })
    expect(conversations.find(({ title }) => title === secret)?.metadata).toEqual({ word: secret })
    expect((await stele.users.get('ada'))?.preferences).toEqual({ word: secret })
    const completions = storedCompletionStore(stele.database)
    const metadata = new Map([['about', `${secret} told`]])
    const asked = { userId: 'ada', limit: 10, order: 'asc' } as const
    expect(await completions.list({ ...asked, metadata })).toHaveLength(1)
    expect(await completions.list({ ...asked, metadata: new Map([['about', 'else']]) })).toEqual([])
  })

  test('every stored value of content is sealed, and each begins with the commitment of its user’s key', async () => {
    const stele = await (await bed.place()).stele()
    await sayEverywhere(stele, 'ada')
    await sayEverywhere(stele, 'bob')
    const keys = new Map((await storedRowsOf(stele.database, 'data_keys')).map(row => [row.user_id, row.id]))
    expect([...keys.keys()].sort()).toEqual(['ada', 'bob'])
    for (const table of contentTables.filter(table => !isOfStore(table)))
      for (const row of (await storedRowsOf(stele.database, table)) as unknown as Record<string, unknown>[])
        for (const { name } of contentColumnsOf(table)) {
          const value = row[name]
          if (value === null) continue
          const bytes = Buffer.from(value as Uint8Array)
          expect(bytes[0], `${table}.${name}`).toBe(0x04)
          expect(bytes.toString('hex', 1, 17)).toBe(keys.get(String(row['user_id'] ?? row['id'])))
        }
  })

  test('a changed or a plain value raises, wherever it stands, and never reads as nothing', async () => {
    const stele = await (await bed.place()).stele()
    await sayEverywhere(stele)
    await dropGuards(stele.database)
    for (const table of contentTables)
      for (const { name } of contentColumnsOf(table)) {
        const rows = (await storedRowsOf(stele.database, table)) as unknown as Record<string, unknown>[]
        const row = rows.find(each => each[name] !== null)
        const key = Object.fromEntries(primaryKeys[table].map(column => [column, row?.[column]]))
        const sealed = Buffer.from(row?.[name] as Uint8Array)
        const changed = Buffer.from(sealed)
        changed[changed.byteLength - 1] = (changed.at(-1) ?? 0) ^ 1
        const put = (value: Buffer | string) =>
          stele.database.batch(batch =>
            batch.update(
              table,
              [name] as never,
              primaryKeys[table] as never,
              [{ set: { [name]: value }, match: key }] as never,
            ),
          )
        // SQLite keeps text in a column of bytes; to PostgreSQL this is three bytes.
        for (const bad of [changed, sealed.subarray(0, -1), Buffer.from(encodeContent('{}')), 'made']) {
          await put(bad)
          await failure('content_unreadable', rowsOf(stele, table), `${table}.${name}`)
        }
        await put(sealed)
        expect(await rowsOf(stele, table)).toHaveLength(rows.length)
      }
  })

  test('values swapped between rows, columns or users are refused', async () => {
    const stele = await (await bed.place()).stele()
    for (const userId of ['ada', 'bob'])
      await exchange(stele, [user(`question of ${userId}`)], `answer to ${userId}`, { userId })
    const [{ id = '' } = {}] = await stele.conversations.list({ userId: 'ada' })
    const read = () => stele.messages.list({ userId: 'ada', conversationId: id })
    const stored = await storedRowsOf(stele.database, 'messages')
    const storedOf = (userId: string, seq: number) =>
      stored.find(row => row.user_id === userId && row.seq === seq)?.content
    const put = (seq: number, content: unknown) =>
      stele.database.batch(batch =>
        batch.update(
          'messages',
          ['content'],
          ['conversation_id', 'user_id', 'seq'],
          [{ set: { content: content as never }, match: { conversation_id: id, user_id: 'ada', seq } }],
        ),
      )
    expect(await read()).toHaveLength(2)
    await put(0, storedOf('ada', 1))
    await failure('content_unreadable', read())
    await put(0, storedOf('bob', 0))
    await failure('content_unreadable', read())
    await put(0, storedOf('ada', 0))
    expect(await read()).toHaveLength(2)
    await tamper(stele, 'messages', 'items = content', `user_id = 'ada' AND seq = 0`)
    await failure('content_unreadable', read())
  })

  test('stores that begin at once agree on one current key of a user', async () => {
    const place = await bed.place()
    const stores = [await place.stele(), await place.stele()]
    await Promise.all(
      stores.flatMap((stele, store) =>
        Array.from({ length: 8 }, (_, n) =>
          exchange(stele, [user(`question ${n} to ${store}`)], 'answer', { userId: `user ${n % 3}` }),
        ),
      ),
    )
    const [first] = stores as [Stele]
    expect(await rowsOf(first, 'data_keys')).toHaveLength(3)
    expect(await rowsOf(first, 'messages')).toHaveLength(32)
  })

  test('what was said is gone with its keys; what it took stays, and others’ words too', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    const { callId } = await sayEverywhere(stele, 'ada')
    await exchange(other, [user('of bob')], 'to bob', { userId: 'bob' })
    const usage = await rowsOf(stele, 'usage_daily')
    await destroyKeys(stele, 'ada')
    for (const one of [stele, await place.stele()]) {
      await failure('content_erased', one.calls.exactRequest('ada', callId))
      await failure('content_erased', one.calls.exactResponse('ada', callId))
      const conversations = await one.conversations.list({ userId: 'bob' })
      expect(conversations[0]?.displayTitle).toBe('of bob')
      expect((await one.calls.get('ada', callId))?.status).toBe('completed')
      // Facts beside what was said, in lists of everybody: they are not there any more.
      expect((await one.users.list()).find(({ id }) => id === 'ada')?.preferences).toBeNull()
    }
    expect(await rowsOf(stele, 'usage_daily')).toEqual(usage)
    const keys = await rowsOf(stele, 'data_keys')
    expect(keys.filter(key => key.wrapped_key === null).map(key => key.user_id)).toEqual(['ada'])
    expect(keys.every(key => (key.wrapped_key === null) === (key.destroyed_at !== null))).toBe(true)
  })

  test('a user whose keys are destroyed gets a new one with the next word', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    await exchange(other, [user('before')], 'b', { userId: 'ada' })
    await destroyKeys(stele, 'ada')
    const { call } = await exchange(other, [user('after')], 'a', { userId: 'ada' })
    expect((await stele.calls.exactRequest('ada', call.callId)).toString()).toContain('after')
    const keys = await rowsOf(stele, 'data_keys')
    expect(keys.map(key => key.wrapped_key === null).sort()).toEqual([false, true])
  })

  test('a key that is held for reading is looked at again before long', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    const { call } = await exchange(stele, [user('before')], 'b', { userId: 'ada' })
    await other.calls.exactRequest('ada', call.callId)
    await destroyKeys(stele, 'ada')
    await expect
      .poll(() => other.calls.exactRequest('ada', call.callId).catch(error => error.code))
      .toBe('content_erased')
  })

  test('what was recorded before content was encrypted stays readable, and what comes is sealed', async () => {
    const place = await bed.place()
    await oldDatabase(place)
    const stele = await place.stele()
    const [conversation] = await stele.conversations.list({ userId: 'ada' })
    expect(conversation).toMatchObject({ title: 'Old title', metadata: { old: true } })
    const old = { userId: 'ada', conversationId: conversation?.id ?? '' }
    expect((await stele.messages.list(old)).map(({ raw }) => JSON.parse(raw).content)).toEqual(['old words'])
    await stele.messages.append({ ...old, messages: [{ message: user('new words') }] })
    expect((await stele.messages.list(old)).map(({ raw }) => JSON.parse(raw).content)).toEqual([
      'old words',
      'new words',
    ])
    const forms = (await storedRowsOf(stele.database, 'messages')).map(
      ({ content }) => (content as unknown as Uint8Array)[0],
    )
    expect(forms.sort()).toEqual([0x01, 0x04])
  })

  test('nobody makes plain content acceptable by taking away what says that there is none', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { call } = await exchange(stele, [user('question')], 'answer', { userId: 'ada' })
    const keys = await storedRowsOf(stele.database, 'data_keys')
    await inBatch(stele, batch => batch.remove('secrets', ['id'], [{ id: 'content-origin' }]))
    const plain = bed.name === 'PostgreSQL' ? `'\\x017b7d'::bytea` : `x'017b7d'`
    await tamper(stele, 'llm_requests', `params = ${plain}`)
    await stele.close()
    const again = await place.stele()
    await failure('content_unreadable', again.calls.exactRequest('ada', call.callId))
    // Nor by hiding the keys while it is opened.
    const hide = (ids: readonly string[]) =>
      inBatch(again, async batch => {
        await batch.remove('data_keys', ['user_id'], [{ user_id: 'ada' }])
        await batch.remove(
          'secrets',
          ['id'],
          ids.map(id => ({ id })),
        )
      })
    await hide(['content-origin'])
    await (await place.stele()).close()
    await again.database.batch(batch => batch.insert('data_keys', keys))
    await failure('content_unreadable', (await place.stele()).calls.exactRequest('ada', call.callId))
    // Nor by hiding every secret with them: then nothing is opened, and no other is made.
    await hide((await storedRowsOf(again.database, 'secrets')).map(({ id }) => id))
    await failure('database_damaged', place.stele())
    expect(await storedRowsOf(again.database, 'secrets')).toEqual([])
  })

  test('going back to before encryption is refused as long as there is a key', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await exchange(stele, [user('question')], 'answer')
    await removeLogKeys(stele.database)
    const { migrateDown } = await import('../../src/db/migrate.ts')
    const error = await failure('migration_failed', migrateDown(place.database(), 1_000))
    expect(error.message).toContain('content_is_encrypted')
    expect(columnsOf('data_keys')).toContain('wrapped_key')
    expect(await rowsOf(stele, 'data_keys')).toHaveLength(1)
  })
}

/** A database as it was before content was encrypted, with a conversation of one message. */
async function oldDatabase(place: Place): Promise<void> {
  const database = place.database()
  await migrateUp(database, { target: 10 })
  // As a version made it that did not encrypt yet.
  const master = parseMasterKey(place.masterKey)
  await openSecret(
    database,
    'conversation-hashes',
    () => master,
    () => randomBytes(32),
  )
  const id = 'conv_01h455vb4pex5vsknk084sn02q'
  const { kysely } = database
  await sql`INSERT INTO users (id, role, status, created_at) VALUES ('ada', 'member', 'active', 1)`.execute(
    kysely,
  )
  await sql`INSERT INTO conversations (user_id, id, title, status, metadata, next_seq, created_at, updated_at)
    VALUES ('ada', ${id}, 'Old title', 'active', '{"old":true}', 1, 1, 1)`.execute(kysely)
  await sql`INSERT INTO messages (user_id, conversation_id, seq, id, role, content, chain_hash, is_anchor, wire_hash, created_at)
    VALUES ('ada', ${id}, 0, 'msg_01h455vb4pex5vsknk084sn02q', 'user',
      ${encodeContent(JSON.stringify(user('old words')))}, 'c', 1, 'w', 1)`.execute(kysely)
  await database.close()
}
