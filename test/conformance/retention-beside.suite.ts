import { expect, test } from 'vitest'
import { documentIdOf, responseIdOf } from '../../src/ids.ts'
import { doStep } from '../../src/retention/do-step.ts'
import type { RetentionDefaults } from '../../src/retention/periods.ts'
import { type RetentionReport, runRetention } from '../../src/retention/run.ts'
import type { RetentionStep, RetentionStepResult } from '../../src/retention/steps.ts'
import type { Stele } from '../../src/stele.ts'
import { responseStore } from '../../src/store/responses.ts'
import { queueEverything } from '../../src/store/search-queue.ts'
import { storedCompletionStore } from '../../src/store/stored-completions.ts'
import { assistant, completed, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { callWithAll, indexOf } from '../harness/every-kind.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { found, indexed } from './search.suite.ts'

const day = 86_400_000
const start = Date.UTC(2026, 0, 1)

const open = async (bed: Bed, retention: RetentionDefaults): Promise<Stele> =>
  (await bed.place()).stele({ retention })

/** A run, and that it did what a dry run right before it said. */
async function run({ retention }: Stele, now: number): Promise<RetentionReport> {
  const preview = await retention.run({ now, dryRun: true })
  const report = await retention.run({ now })
  expect(report.expired).toEqual(preview.expired)
  return report
}

const listed = async ({ database }: Stele): Promise<string[]> =>
  (await storedCompletionStore(database).list({ userId: 'ada', limit: 100, order: 'asc' })).map(
    ({ callId }) => callId,
  )

/** What is recorded beside messages and calls goes with them. */
export function retentionBesideSuite(bed: Bed): void {
  test('the words of a message leave the search index with what it said, and do not come back', async () => {
    const stele = await open(bed, { contentDays: 30 })
    const said = [user('old secret')]
    const { conversationId } = await callWithAll(stele, said, 'old answer', { createdAt: start })
    said.push(assistant('old answer'), user('young secret'))
    const next = await callWithAll(stele, said, 'young answer', { createdAt: start + 20 * day })
    expect(next.conversationId).toBe(conversationId)
    await indexed(stele)
    const waiting = await callWithAll(stele, [user('a waiting secret')], 'waits', { createdAt: start })
    expect((await stele.recorder.waitingFor('ada')).isQueued).toBe(true)
    await run(stele, start + 31 * day)
    const left = { places: [`${conversationId} 2`, `${conversationId} 3`], texts: 2 }
    expect(await indexOf(stele)).toEqual(left)
    await indexed(stele)
    await queueEverything(stele.database)
    expect(await found(stele, 'secret')).toEqual(['young secret'])
    expect(await found(stele, 'secret', { conversationId: waiting.conversationId })).toEqual([])
    expect(await indexOf(stele)).toEqual(left)
  })

  test('messages and conversations whose rows go leave nothing in the search index', async () => {
    const stele = await open(bed, { metadataDays: 30 })
    const said = [user('old secret')]
    const { conversationId } = await callWithAll(stele, said, 'old answer', { createdAt: start })
    await callWithAll(stele, [user('gone altogether')], 'old', { createdAt: start })
    const other = await callWithAll(stele, [user('gone altogether')], 'of bob', {
      createdAt: start + 20 * day,
      userId: 'bob',
    })
    said.push(assistant('old answer'), user('young secret'))
    await callWithAll(stele, said, 'young answer', { createdAt: start + 20 * day })
    for (const userId of ['ada', 'bob']) await indexed(stele, userId)
    expect((await indexOf(stele)).texts).toBe(8)
    await run(stele, start + 31 * day)
    const kept = [2, 3].map(seq => `${conversationId} ${seq}`)
    const ofBob = [0, 1].map(seq => `${other.conversationId} ${seq}`)
    expect(await indexOf(stele)).toEqual({ places: [...kept, ...ofBob].sort(), texts: 4 })
    await run(stele, start + 60 * day)
    expect(await indexOf(stele)).toEqual({ places: [], texts: 0 })
    expect(await countOf(stele, 'conversations')).toBe(0)
  })

  test('what was said in a deleted conversation leaves the search index', async () => {
    const stele = await open(bed, { deletedDays: 7 })
    const { conversationId } = await callWithAll(stele, [user('a secret')], 'an answer')
    await indexed(stele)
    await stele.conversations.delete('ada', conversationId)
    await run(stele, Date.now() + 8 * day)
    expect(await indexOf(stele)).toEqual({ places: [], texts: 0 })
    expect([await listed(stele), await countOf(stele, 'conversations')]).toEqual([[], 1])
  })

  test('a response says that it is not kept any longer, a completion is off the list; then their rows go', async () => {
    const stele = await open(bed, { contentDays: 30, metadataDays: 60 })
    const old = await callWithAll(stele, [user('old')], 'old words', { createdAt: start })
    const young = await callWithAll(stele, [user('young')], 'young words', { createdAt: start + 20 * day })
    const bobs = await callWithAll(stele, [user('bob')], 'of bob', { createdAt: start, userId: 'bob' })
    await stele.retention.set('bob', { contentDays: 0, metadataDays: 0 })
    const responses = responseStore(stele.database)
    const before = await rowsOf(stele, 'responses')
    await run(stele, start + 31 * day)
    const id = responseIdOf(old.callId)
    await failure('content_not_kept', responses.get('ada', id))
    await failure('content_not_kept', responses.input('ada', id))
    const row = (await rowsOf(stele, 'responses')).find(response => response.id === id)
    const { status, created_at, call_id } = before.find(response => response.id === id) ?? {}
    expect(row).toMatchObject({ status, created_at, call_id, metadata: null })
    expect([row?.input, row?.body].map(value => value?.byteLength)).toEqual([1, 1])
    expect((await responses.get('ada', responseIdOf(young.callId)))?.body).toContain('young words')
    const document = await stele.documents.get('ada', documentIdOf(old.callId))
    expect(document).toMatchObject({
      status: 'invalid',
      input: undefined,
      output: undefined,
      totalTokens: 15,
    })
    expect(document?.errorMessage).toBeUndefined()
    expect((await stele.documents.get('ada', documentIdOf(young.callId)))?.output).toContain('young words')
    expect((await stele.documents.get('bob', documentIdOf(bobs.callId)))?.output).toContain('of bob')
    expect(await listed(stele)).toEqual([young.callId])
    await run(stele, start + 61 * day)
    expect((await rowsOf(stele, 'responses')).map(({ call_id }) => call_id).sort()).toEqual(
      [young.callId, bobs.callId].sort(),
    )
    expect(await stele.documents.get('ada', documentIdOf(old.callId))).toBeUndefined()
    await run(stele, start + 81 * day)
    expect((await rowsOf(stele, 'documents')).map(({ call_id }) => call_id)).toEqual([bobs.callId])
    expect((await rowsOf(stele, 'responses')).map(({ call_id }) => call_id)).toEqual([bobs.callId])
    expect((await rowsOf(stele, 'stored_completions')).map(({ call_id }) => call_id)).toEqual([bobs.callId])
  })

  test('a long conversation goes in a few steps, each of which reads it once', async () => {
    const { database, conversations } = await open(bed, {})
    const messages = Array.from({ length: 6_000 }, (_, index) => ({
      message: user(`${index}`),
      createdAt: start,
    }))
    await conversations.create({ userId: 'ada', messages })
    const now = Date.now()
    const at = { now: now + 10 * day, defaults: { contentDays: 5 } }
    const steps: RetentionStep[] = []
    const counting = async (step: RetentionStep): Promise<RetentionStepResult> => {
      steps.push(step)
      return doStep(database, step)
    }
    const preview = await runRetention({ database, ...at, doStep: undefined })
    const { expired } = await runRetention({ database, ...at, doStep: counting })
    expect(expired).toEqual(preview.expired)
    expect(expired).toMatchObject([{ kind: 'messages', reason: 'content', rows: 6_000 }])
    expect(steps.filter(({ kind }) => kind === 'conversations').length).toBeLessThanOrEqual(9)
  })

  test('calls of no conversation expire like others', async () => {
    const stele = await open(bed, { contentDays: 30, metadataDays: 60 })
    const call = await stele.recorder.begin({
      userId: 'ada',
      provider: 'test',
      operation: 'embeddings',
      body: '{"model":"m","input":"a secret"}',
      createdAt: start,
    })
    const usage = { inputTokens: 4 }
    await stele.recorder.settle(call, {
      ...completed('{"data":["a secret"]}', { reply: { finishReasons: [], usage } }),
      createdAt: start,
    })
    const { expired } = await run(stele, start + 31 * day)
    expect(expired).toMatchObject([{ reason: 'content', kind: 'calls', rows: 1 }])
    await failure('content_not_kept', stele.calls.exactRequest('ada', call.callId))
    await failure('content_not_kept', stele.calls.exactResponse('ada', call.callId))
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({ inputTokens: 4, conversationId: '' })
    await run(stele, start + 61 * day)
    for (const table of ['llm_requests', 'llm_responses'] as const)
      expect(await countOf(stele, table)).toBe(0)
  })
}
