import { StatementSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import { conversationLibrary } from '../../src/library/conversations.ts'
import { messageLibrary } from '../../src/library/messages.ts'
import { LimitBook } from '../../src/limits/book.ts'
import { ConversationHashes } from '../../src/model/hashes.ts'
import { Accounting } from '../../src/pricing/accounting.ts'
import { Recorder } from '../../src/recorder/recorder.ts'
import { directWriter } from '../../src/recorder/writer.ts'
import type { Store } from '../../src/store/contents.ts'
import { storeSearchTokens } from '../../src/store/search-keys.ts'
import { chatBody, user } from '../harness/chat.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'
import { storeOf } from '../harness/store.ts'

/** SQLITE_IOERR_FSYNC, which no file of a test can be made to raise: https://sqlite.org/rescode.html */
const fsyncFailed = 1034

/**
 * Makes the next `times` COMMITs of this thread fail as a failed fsync makes them: `isWritten` says whether the commit is
 * in the file all the same, which after such a failure nobody knows. Returns the statements that were used: each
 * connection has one.
 */
function failCommits(times: number, isWritten: boolean): Set<StatementSync> {
  const { run } = StatementSync.prototype
  onTestFinished(() => {
    StatementSync.prototype.run = run
  })
  const prepared = new Set<StatementSync>()
  let left = times
  StatementSync.prototype.run = function (this: StatementSync, ...values: unknown[]) {
    const isCommit = this.sourceSQL === 'COMMIT'
    if (isCommit) prepared.add(this)
    if (!isCommit || left === 0) return Reflect.apply(run, this, values)
    left--
    if (isWritten) Reflect.apply(run, this, values)
    const errstr = 'disk I/O error'
    throw Object.assign(new Error(errstr), { code: 'ERR_SQLITE_ERROR', errcode: fsyncFailed, errstr })
  }
  return prepared
}

/** A recorder that writes on this thread, where its commits can be made to fail. */
async function startRecorder(retryFor: number): Promise<{ database: Store; recorder: Recorder }> {
  const bare = await (await sqlitePlace()).migrated()
  const database = await storeOf(bare)
  const hashes = new ConversationHashes('key')
  const instanceId = newId('instance')
  const writer = directWriter({
    database,
    hashes,
    tokens: storeSearchTokens(database.contents),
    limits: new LimitBook(),
    knownUsers: new Set(),
  })
  const recorder = new Recorder({
    database,
    hashes,
    accounting: new Accounting({}),
    writer,
    instanceId,
    retryFor,
  })
  await recorder.start()
  onTestFinished(() => recorder.close())
  return { database, recorder }
}

const question = () => ({ userId: 'ada', provider: 'test', body: chatBody([user('q')]) })

test.each([
  ['that was not written', false],
  ['that was written all the same', true],
])(
  'a commit that fails is tried again on a new connection; one %s is on record once',
  async (_, isWritten) => {
    const { database, recorder } = await startRecorder(10_000)
    const used = failCommits(3, isWritten)
    const call = await recorder.begin(question())
    // One that failed for each failed commit, and the one that made it; the first was open before.
    expect(used.size).toBe(4)
    await recorder.settle(call, { status: 'completed', body: '{"choices":[]}' })
    expect(used.size).toBe(4)
    for (const table of ['llm_requests', 'llm_responses'] as const)
      expect(await countOf({ database }, table), table).toBe(1)
    expect(await countOf({ database }, 'audit_events')).toBe(2)
  },
)

test.each([
  ['that was not written', false],
  ['that was written all the same', true],
])('an append whose commit fails is tried again; one %s is on record once', async (_, isWritten) => {
  const { database, recorder } = await startRecorder(10_000)
  const conversations = conversationLibrary(database, recorder)
  const messages = messageLibrary(database, recorder)
  const said = (content: string) => [{ message: user(content) }]
  failCommits(2, isWritten)
  const { id } = await conversations.create({ userId: 'ada', sessionId: 's', messages: said('zero') })
  expect(await countOf({ database }, 'conversations')).toBe(1)
  failCommits(2, isWritten)
  const appends = await Promise.all(
    ['one', 'two'].map(content =>
      messages.append({ userId: 'ada', conversationId: id, messages: said(content) }),
    ),
  )
  expect(appends.map(([one]) => one?.seq)).toEqual([1, 2])
  failCommits(2, isWritten)
  await messages.append({ userId: 'ada', conversationId: id, messages: said('three'), expectedSeq: 3 })
  const page = { userId: 'ada', conversationId: id }
  expect((await messages.list(page)).map(({ seq, raw }) => [seq, raw])).toEqual(
    ['zero', 'one', 'two', 'three'].map((content, seq) => [seq, JSON.stringify(user(content))]),
  )
  failCommits(2, isWritten)
  await conversations.purge('ada', id)
  expect(await countOf({ database }, 'conversations')).toBe(0)
})

test('a commit that keeps failing is never acknowledged', async () => {
  const { database, recorder } = await startRecorder(0)
  failCommits(1, false)
  const error = await failure('store_unavailable', recorder.begin(question()))
  expect(error.message).toContain('disk I/O error')
  expect(await countOf({ database }, 'llm_requests')).toBe(0)
  await recorder.begin(question())
  expect(await countOf({ database }, 'llm_requests')).toBe(1)
})

test('a settle whose commit keeps failing leaves the call to be settled again, or to be found', async () => {
  const { database, recorder } = await startRecorder(0)
  const call = await recorder.begin(question())
  failCommits(1, false)
  await failure('store_unavailable', recorder.settle(call, { status: 'completed', body: '{"choices":[]}' }))
  expect(await countOf({ database }, 'llm_responses')).toBe(0)
  await recorder.settle(call, { status: 'completed', body: '{"choices":[]}' })
  expect(await countOf({ database }, 'llm_responses')).toBe(1)
})
