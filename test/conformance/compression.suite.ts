import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { compressed, sentRecord } from '../../src/compression/sent.ts'
import { newId } from '../../src/ids.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import type { BeginInput } from '../../src/recorder/begin-input.ts'
import type { Stele } from '../../src/stele.ts'
import { assistant, begin, chatBody, completed, completionBody, settle, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { rowsOf, storedRowsOf } from '../harness/rows.ts'

const said = 'Could you please tell me the end of the story?'
const masked = 'Could you please tell me the end of [TEXT_1]?'

/** A call whose prompts were sent compressed, and the bytes that its provider got. */
async function compressedCall(stele: Stele, messages: readonly unknown[], more: Partial<BeginInput> = {}) {
  const body = chatBody(messages)
  const told = body.replaceAll(said, masked)
  const made = await compressed(told, 'high')
  const sending = { level: 'high', model: 'test-model', asksUsage: true, isChat: true } as const
  const sent = sentRecord({ told, recorded: body, mayKeep: true, body: made }, sending)
  const call = await begin(stele, body, { sent, ...more })
  await settle(stele, call, completed(completionBody('It ends well.')))
  return { call, bytes: made.replace('gpt-test', 'test-model') }
}

/** What is recorded of a request that was sent compressed. */
export function compressionSuite(bed: Bed): void {
  const sentOf = async (stele: Stele, callId: string) =>
    (await stele.calls.sentRequest('ada', callId))?.toString()

  test('what was sent is made again, turn after turn, and takes no place of its own', async () => {
    const stele = await (await bed.place()).stele()
    const first = await compressedCall(stele, [user(said)])
    const history = [user(said), assistant('It ends well.')]
    const second = await compressedCall(stele, [...history, user('And the next one?')])
    expect(second.call.conversationId).toBe(first.call.conversationId)
    for (const { call, bytes } of [first, second]) {
      expect(await sentOf(stele, call.callId)).toBe(bytes)
      expect(await stele.calls.get('ada', call.callId)).toMatchObject({ compression: 'high/2' })
      expect((await stele.calls.exactRequest('ada', call.callId)).toString()).toContain(said)
    }
    for (const { sent } of await rowsOf(stele, 'llm_requests')) expect(sent?.byteLength).toBeLessThan(200)
    const plain = await begin(stele, chatBody([user('plain')]))
    expect(await sentOf(stele, plain.callId)).toBeUndefined()
    expect(await stele.calls.get('ada', plain.callId)).toMatchObject({ compression: undefined })
    await failure('call_not_found', stele.calls.sentRequest('bob', first.call.callId))
  })

  test('what the request does not tell of it is sealed as the request is', async () => {
    const stele = await (await bed.place()).stele()
    await compressedCall(stele, [user(said)])
    for (const { sent } of await storedRowsOf(stele.database, 'llm_requests'))
      expect(Buffer.from(sent as unknown as Uint8Array).toString('latin1')).not.toContain('TEXT_1')
    const key = await stele.apiKeys.create({ userId: 'ada', contentMode: 'hashed' })
    const { call } = await compressedCall(stele, [user('Tell me the other one.')], { apiKeyId: key.id })
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({ compression: 'high/2' })
    await failure('content_not_kept', stele.calls.sentRequest('ada', call.callId))
  })

  test('it moves with an export, and a changed record does not pass for what was sent', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { call, bytes } = await compressedCall(stele, [user(said)])
    let text = ''
    await exportLines(stele.database, async lines => {
      text += lines
    })
    const other = await (await bed.place()).stele()
    await importLines(other.database, other.hashes, Readable.from([Buffer.from(text)]))
    expect(await sentOf(other, call.callId)).toBe(bytes)
    expect(await other.calls.get('ada', call.callId)).toMatchObject({ compression: 'high/2' })
    const changed = await (await bed.place()).stele()
    const lines = text.replaceAll('"compression":"high/2"', '"compression":"low/2"')
    await importLines(changed.database, changed.hashes, Readable.from([Buffer.from(lines)]))
    await failure('content_unreadable', changed.calls.sentRequest('ada', call.callId))
  })

  test('it goes with what was said: purged, expired, erased', async () => {
    const stele = await (await bed.place()).stele({ retention: { contentDays: 30 } })
    const createdAt = Date.now() - 31 * 86_400_000
    const expired = await compressedCall(stele, [user('Tell me the old one.')], { createdAt })
    await stele.retention.run()
    await failure('content_not_kept', stele.calls.sentRequest('ada', expired.call.callId))
    const purged = await compressedCall(stele, [user(said)])
    await stele.conversations.delete('ada', purged.call.conversationId)
    await stele.conversations.purge('ada', purged.call.conversationId)
    const erased = await compressedCall(stele, [user('Tell me the other one.')], {
      userId: 'bob',
      callId: newId('call'),
    })
    expect((await rowsOf(stele, 'llm_requests')).map(({ sent }) => sent === null)).toEqual([
      true,
      true,
      false,
    ])
    await failure('content_not_kept', stele.calls.sentRequest('ada', purged.call.callId))
    await stele.erase('bob', { reason: 'asked' })
    expect((await rowsOf(stele, 'llm_requests')).every(({ sent }) => sent === null)).toBe(true)
    await failure('content_not_kept', stele.calls.sentRequest('bob', erased.call.callId))
  })
}
