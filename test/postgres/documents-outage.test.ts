import { expect, test } from 'vitest'
import { fieldsOf, withDocuments } from '../gateway/documenting.ts'
import { errorOf } from '../gateway/running.ts'
import { json, reset } from '../gateway/upstream.ts'
import { postgresPlace } from '../harness/databases.ts'
import { plan, replyOf } from '../harness/documents.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'

test('documents that are made, or not, while the database is away are on record afterwards', async () => {
  const link = await linkToPostgres()
  const place = await postgresPlace()
  const store = { poolTimeout: 2, commitTimeout: 1, databaseUrl: link.databaseUrl }
  const answers = [json(replyOf(plan)), json(replyOf('no JSON')), json(replyOf(plan)), reset]
  const gateway = await withDocuments(answers, { place, store })
  const witness = await place.stele()
  // So that the key, and the type, are known to be good.
  expect((await gateway.generate()).status).toBe(200)
  link.cut()
  const made = await gateway.generate()
  expect(made.status, made.text).toBe(200)
  expect(fieldsOf(made)).toMatchObject({ status: 'completed', output: plan, number: 1 })
  // One that fails is ended by an operation of its own.
  const failed = await gateway.generate()
  expect(errorOf(failed).code).toBe('provider_unreachable')
  const id = String(made.headers['x-stele-document-id'])
  expect((await gateway.ask('GET', `/v1/documents/${id}`)).status).toBe(503)
  expect((await gateway.generate({ regenerates: id })).status).toBe(503)
  link.restore()
  await expect.poll(() => gateway.stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  const documents = await witness.documents.list({ userId: 'ada', order: 'asc' })
  expect(documents.map(({ status, callIds, errorCode }) => [status, callIds.length, errorCode])).toEqual([
    ['completed', 1, undefined],
    ['completed', 2, undefined],
    ['failed', 1, 'provider_unreachable'],
  ])
  expect(documents[1]).toMatchObject({ id, output: JSON.stringify(plan), totalTokens: 30 })
  expect(documents[2]?.id).toBe(failed.headers['x-stele-document-id'])
})
