import { expect, test } from 'vitest'
import { contentColumnsOf, type TableName, tableNames } from '../../src/db/tables.ts'
import type { Stele } from '../../src/stele.ts'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { storedRowsOf } from '../harness/rows.ts'
import { headersOf } from './isolation-recipes.ts'
import { type RawReply, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'

const read = <T>({ text }: RawReply): T => JSON.parse(text) as T

interface Listed {
  readonly data: readonly {
    readonly id: string
    readonly type: string
    readonly content?: readonly unknown[]
  }[]
}

/** Columns of what is recorded of a user whose content is kept otherwise than in this form. */
async function otherForms(stele: Stele, userId: string, form: number): Promise<string[]> {
  const found = new Set<string>()
  for (const table of tableNames as readonly TableName[])
    for (const row of (await storedRowsOf(stele.database, table)) as unknown as Record<string, unknown>[])
      for (const { name } of contentColumnsOf(table)) {
        const value = row[name]
        const isUsers = row['user_id'] === userId && table !== 'audit_events'
        if (isUsers && value instanceof Uint8Array && value[0] !== form) found.add(`${table}.${name}`)
      }
  return [...found].sort()
}

describeEachDatabase('how content is kept that clients send', bed => {
  test('a key’s mode holds for everything that is said with it, in a call or not', async () => {
    const upstream = await startUpstream(json(completion('answer')))
    const running = await startGateway({ place: await bed.place(), upstream })
    const { stele, send } = running
    const { secret } = await stele.apiKeys.create({ userId: 'ada', contentMode: 'hashed' })
    const ask = (path: string, body: object) =>
      send('POST', path, { headers: headersOf(secret), body: JSON.stringify(body) })
    const metadata = { about: 'heliotrope' }
    const items = [{ role: 'user', content: 'heliotrope' }]
    const made = await ask('/v1/conversations', { metadata, items })
    expect(made.status).toBe(200)
    expect(await otherForms(stele, 'ada', 0x07)).toEqual([])
    const { id } = read<{ id: string }>(made)
    expect((await ask(`/v1/conversations/${id}/items`, { items })).status).toBe(200)
    expect((await ask(`/v1/conversations/${id}`, { metadata: { about: 'other' } })).status).toBe(200)
    const chat = { model: 'm', store: true, messages: [{ role: 'user', content: 'heliotrope' }], metadata }
    expect((await ask('/v1/chat/completions', chat)).status).toBe(200)
    expect((await ask('/v1/chat/completions/chatcmpl-1', { metadata: { about: 'other' } })).status).toBe(200)
    expect((await ask('/v1/responses', { model: 'm', input: 'heliotrope', metadata })).status).toBe(200)
    expect(await otherForms(stele, 'ada', 0x07)).toEqual([])
  })

  test('items of which digests are kept are added, added again under their key, and listed without words', async () => {
    const place = await bed.place()
    const running = await startGateway({ place, store: { contentMode: 'hashed' } })
    const { stele, send, key } = running
    const { id } = await stele.conversations.create({ userId: 'ada' })
    const path = `/v1/conversations/${id}/items`
    const items = [
      { role: 'user', content: 'heliotrope', id: 'msg_given' },
      { type: 'reasoning', id: 'rs_given', summary: [{ type: 'summary_text', text: 'heliotrope' }] },
    ]
    const add = (given: readonly object[], idempotencyKey: string) =>
      send('POST', path, {
        headers: headersOf(key, { 'idempotency-key': idempotencyKey }),
        body: JSON.stringify({ items: given }),
      })
    const first = await add(items, 'one')
    expect([first.status, read<Listed>(first).data.length]).toEqual([200, 2])
    const again = await add(items, 'one')
    expect([again.status, again.headers['idempotent-replayed']]).toEqual([200, 'true'])
    const next = await add([{ role: 'user', content: 'later', id: 'msg_later' }], 'two')
    expect(next.status).toBe(200)
    const alone = [{ type: 'reasoning', id: 'rs_alone', summary: [] }]
    expect((await add(alone, 'three')).status).toBe(200)
    const listed = await send('GET', `${path}?order=asc`, { headers: headersOf(key) })
    expect(listed.status).toBe(200)
    expect(listed.text).not.toContain('heliotrope')
    expect(read<Listed>(listed).data.map(({ type, content }) => [type, content])).toEqual([
      ['message', []],
      ['message', []],
    ])
    const messages = await stele.messages.list({ userId: 'ada', conversationId: id })
    expect(messages.map(({ isKept }) => isKept)).toEqual([false, false, false])
    const [shown] = read<Listed>(listed).data
    const removed = await send('DELETE', `${path}/${shown?.id}`, { headers: headersOf(key) })
    expect(removed.status).toBe(200)
    const left = await send('GET', path, { headers: headersOf(key) })
    expect(read<Listed>(left).data).toHaveLength(1)
  })
})
