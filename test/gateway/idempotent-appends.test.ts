import { expect, test } from 'vitest'
import { describeEachDatabase } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { headersOf } from './isolation-recipes.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'

const items = [
  { role: 'user', content: 'Hi' },
  { type: 'reasoning', id: 'rs_1', summary: [] },
  { role: 'assistant', content: 'Hello' },
]

interface Named {
  readonly id: string
}

interface Listed {
  readonly data: readonly Named[]
}

const read = <T>({ text }: RawReply): T => JSON.parse(text) as T

function poster({ send, key }: Running, ofKey = key) {
  return (path: string, body: object | undefined, idempotencyKey: string) =>
    send('POST', `/v1/conversations${path}`, {
      headers: headersOf(ofKey, { 'idempotency-key': idempotencyKey }),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
}

describeEachDatabase('idempotency keys of conversations', bed => {
  test('a conversation is made once for a key, however often and at once it is asked for', async () => {
    const running = await startGateway({ place: await bed.place() })
    const post = poster(running)
    const replies = await Promise.all(Array.from({ length: 8 }, () => post('', { items }, 'key-1')))
    expect(replies.map(({ status }) => status)).toEqual(Array(8).fill(200))
    const [first, ...others] = new Set(replies.map(({ text }) => text))
    expect(others).toEqual([])
    expect(replies.filter(({ headers }) => headers['idempotent-replayed'] !== 'true')).toHaveLength(1)
    expect(await rowsOf(running.stele, 'conversations')).toHaveLength(1)
    expect(await rowsOf(running.stele, 'messages')).toHaveLength(2)
    expect((await post('', undefined, 'key-2')).text).toBe((await post('', undefined, 'key-2')).text)
    expect((await post('', { items }, 'key-3')).text).not.toBe(first)
    const reused = await post('', { items: [] }, 'key-1')
    expect([reused.status, errorOf(reused).code]).toEqual([409, 'idempotency_key_reused'])
    const bad = await post('', {}, 'k'.repeat(256))
    expect([bad.status, errorOf(bad).param]).toEqual([400, 'idempotency-key'])
    // Another user's key is another one.
    const bob = poster(running, await running.newKey('bob'))
    expect((await bob('', { items }, 'key-1')).text).not.toBe(first)
    const { id } = read<Named>({ text: first } as RawReply)
    await running.stele.conversations.delete('ada', id)
    const gone = await post('', { items }, 'key-1')
    expect([gone.status, errorOf(gone).code]).toEqual([404, 'conversation_not_found'])
  })

  test('items are added once for a key, and a repetition shows what is left of them', async () => {
    const running = await startGateway({ place: await bed.place() })
    const post = poster(running)
    const { id } = await running.stele.conversations.create({ userId: 'ada' })
    const other = await running.stele.conversations.create({ userId: 'ada' })
    const replies = await Promise.all(
      Array.from({ length: 8 }, () => post(`/${id}/items`, { items }, 'key-1')),
    )
    expect(replies.map(({ status }) => status)).toEqual(Array(8).fill(200))
    const [added = [], ...same] = replies.map(reply => read<Listed>(reply).data)
    for (const shown of same) expect(shown).toEqual(added)
    expect(added).toHaveLength(3)
    expect(await rowsOf(running.stele, 'messages')).toHaveLength(2)
    await running.stele.messages.append({
      userId: 'ada',
      conversationId: id,
      messages: [{ message: { role: 'user', content: 'So?' } }],
    })
    await running.stele.conversationItems.delete('ada', id, 'rs_1')
    const again = read<Listed>(await post(`/${id}/items`, { items }, 'key-1')).data
    expect(again).toEqual([added[0], added[2]])
    const elsewhere = await post(`/${other.id}/items`, { items }, 'key-1')
    expect([elsewhere.status, errorOf(elsewhere).code]).toEqual([409, 'idempotency_key_reused'])
  })

  test('what could not be added leaves its key free', async () => {
    const running = await startGateway({ place: await bed.place() })
    const post = poster(running)
    const { id } = await running.stele.conversations.create({ userId: 'ada' })
    await running.stele.conversations.delete('ada', id)
    const given = { items: [{ role: 'user', content: 'Hi' }] }
    const tries = await Promise.all([
      post(`/${id}/items`, given, 'key-1'),
      post('', given, 'key-2'),
      post(`/${id}/items`, given, 'key-1'),
    ])
    expect(tries.map(({ status }) => status)).toEqual([404, 200, 404])
    expect(await rowsOf(running.stele, 'idempotency_keys')).toHaveLength(1)
    await running.stele.conversations.restore('ada', id)
    expect((await post(`/${id}/items`, given, 'key-1')).status).toBe(200)
  })

  test('a key that stands for what was added is not forgotten before its time', async () => {
    const retention = { contentDays: 30, metadataDays: 60 }
    const running = await startGateway({ place: await bed.place(), store: { retention } })
    const post = poster(running)
    const first = await post('', { items }, 'key-1')
    await running.stele.retention.run()
    expect((await post('', { items }, 'key-1')).text).toBe(first.text)
  })
})
