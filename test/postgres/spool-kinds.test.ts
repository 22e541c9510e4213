import { expect, test } from 'vitest'
import { compressed, sentRecord } from '../../src/compression/sent.ts'
import type { SentRecord } from '../../src/model/call.ts'
import { storedCompletionStore } from '../../src/store/stored-completions.ts'
import {
  assistant,
  chatBody,
  completed,
  completionBody,
  exchange,
  reproduced,
  user,
} from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'

test('every kind of call goes through the spool: no chat, one that is listed, one of which nothing is kept, one that is sent compressed', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const stele = await place.stele({ poolTimeout: 2, commitTimeout: 1, databaseUrl: link.databaseUrl })
  const witness = await place.stele()
  const { recorder } = stele
  await exchange(stele, [user('before')], 'yes')
  link.cut()
  const call = async (body: string, reply: string, operation?: string, sent?: SentRecord) => {
    const begun = await recorder.begin({ userId: 'ada', provider: 'test', operation, body, sent })
    const settled = await recorder.settle(begun, completed(reply))
    expect(settled.conversationId).toBeUndefined()
    return begun.callId
  }
  const plain = { request: '{"model":"m","input":"x"}', reply: '{"data":[],"usage":{"prompt_tokens":2}}' }
  const plainId = await call(plain.request, plain.reply, 'embeddings')
  const listed = chatBody([user('list me')], { store: true, metadata: { a: 'b' } })
  const listedId = await call(listed, completionBody('listed', { id: 'c-1' }))
  const unkeptId = await call(chatBody([user('classified')], { store: false }), completionBody('secret'))
  const long = chatBody([user('Could you please tell me the end?')])
  const short = await compressed(long, 'high')
  const sending = { level: 'high', model: 'test-model', asksUsage: false, isChat: true } as const
  const sent = sentRecord({ told: long, recorded: long, mayKeep: true, body: short }, sending)
  const compressedId = await call(long, completionBody('short'), undefined, sent)
  const history = [user('classified'), assistant('secret'), user('go on')]
  const laterId = await call(chatBody(history), completionBody('later'))
  // Only the database knows what is listed.
  await failure(
    'store_unavailable',
    recorder.relist({ userId: 'ada', id: 'c-1', callId: listedId, change: { deletedAt: 1 } }),
  )
  link.restore()
  await expect.poll(() => recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  expect(await reproduced(witness, plainId)).toEqual({ request: plain.request, response: plain.reply })
  expect(await witness.calls.find(plainId)).toMatchObject({ operation: 'embeddings', conversationId: '' })
  expect(await storedCompletionStore(witness.database).get('ada', 'c-1')).toMatchObject({
    callId: listedId,
    metadata: { a: 'b' },
  })
  expect(await witness.calls.find(compressedId)).toMatchObject({ compression: 'high/2' })
  expect((await witness.calls.sentRequest('ada', compressedId))?.toString()).toBe(short)
  expect(await witness.calls.find(unkeptId)).toMatchObject({ status: 'completed', outputTokens: 5 })
  await failure('content_not_kept', witness.calls.exactRequest('ada', unkeptId))
  await failure('content_not_kept', witness.calls.exactResponse('ada', unkeptId))
  // It continues what was not kept, and brings its own history along.
  const [unkept, later] = [await witness.calls.find(unkeptId), await witness.calls.find(laterId)]
  expect(later?.conversationId).toBe(unkept?.conversationId)
  expect((await reproduced(witness, laterId)).request).toBe(chatBody(history))
})
