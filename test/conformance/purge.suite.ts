import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import { queueEverything } from '../../src/store/search-queue.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  historyOf,
  reproduced,
  settle,
  user,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { callWithAll, indexOf, responseStart } from '../harness/every-kind.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { indexed } from './search.suite.ts'

/** Every text of the store, decoded or not, in which `words` might still stand. */
async function textsWith(stele: Stele, words: string): Promise<string[]> {
  const tables = [
    'conversations',
    'messages',
    'llm_requests',
    'llm_responses',
    'context_snapshots',
    'idempotency_keys',
    'stored_completions',
    'responses',
    'documents',
  ] as const
  const found: string[] = []
  for (const table of tables)
    for (const row of await rowsOf(stele, table))
      for (const [column, value] of Object.entries<unknown>(row)) {
        const text = value instanceof Uint8Array ? Buffer.from(value).toString() : String(value)
        if (text.includes(words)) found.push(`${table}.${column}`)
      }
  return found
}

/** Content that goes for good, and what stays of its calls. */
export function purgeSuite(bed: Bed): void {
  test('nothing of what was said is left; what the calls cost and took is', async () => {
    const stele = await (await bed.place()).stele()
    const message = { message: user('hush-hush 0'), metadata: { note: 'hush-hush' } }
    const { id } = await stele.conversations.create({
      userId: 'ada',
      title: 'hush-hush',
      metadata: { note: 'hush-hush' },
      messages: [message],
    })
    const { call } = await exchange(stele, [user('hush-hush 0')], 'hush-hush 1')
    expect(call.conversationId).toBe(id)
    const broken = await begin(stele, chatBody([user('hush-hush 0'), assistant('hush-hush 1'), user('w')]))
    await settle(stele, broken, { status: 'failed', errorMessage: 'cannot hush-hush', errorCode: 'x' })
    await stele.contextSnapshots.create({
      userId: 'ada',
      conversationId: id,
      upToSeq: 0,
      content: 'hush-hush',
    })
    const totals = await stele.conversations.totals('ada', id)
    const usage = await rowsOf(stele, 'usage_daily')
    await exchange(stele, [user('something else')], 'kept', { userId: 'bob' })

    await failure('conversation_not_found', stele.conversations.purge('bob', id))
    await stele.conversations.purge('ada', id)
    expect(await textsWith(stele, 'hush-hush')).toEqual([])
    expect(await stele.conversations.list({ userId: 'ada', includeDeleted: true })).toEqual([])
    expect(await rowsOf(stele, 'context_snapshots')).toEqual([])
    expect(totals).toMatchObject({ calls: 2, errors: 1, inputTokens: 10, outputTokens: 5 })
    expect(await stele.conversations.totals('ada', id)).toEqual(totals)
    expect((await rowsOf(stele, 'usage_daily')).filter(row => row.user_id === 'ada')).toEqual(usage)
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({ status: 'completed', inputTokens: 10 })
    await failure('content_not_kept', stele.calls.exactRequest('ada', call.callId))
    await failure('content_not_kept', stele.calls.exactResponse('ada', call.callId))
    await failure('conversation_not_found', stele.conversations.purge('ada', id))
    await failure('conversation_not_found', stele.conversations.restore('ada', id))
    // Whoever says the same again begins anew.
    const anew = await exchange(stele, [user('hush-hush 0')], 'a')
    expect(anew.call.conversationId).not.toBe(id)
  })

  test('responses, stored completions and what the search index holds go along', async () => {
    const stele = await (await bed.place()).stele()
    const first = await callWithAll(stele, [user('hush-hush 0')], 'hush-hush 1')
    await indexed(stele)
    const said = [user('hush-hush 0'), assistant('hush-hush 1'), user('hush-hush 2')]
    const second = await callWithAll(stele, said, 'hush-hush 3')
    const other = await callWithAll(stele, [user('hush-hush 0')], 'another', { userId: 'bob' })
    await indexed(stele, 'bob')
    expect(second.conversationId).toBe(first.conversationId)
    expect((await indexOf(stele)).texts).toBe(4)
    await stele.conversations.purge('ada', first.conversationId)
    expect(await countOf(stele, 'search_queue')).toBe(0)
    const ofBob = [0, 1].map(seq => `${other.conversationId} ${seq}`)
    expect(await indexOf(stele)).toEqual({ places: ofBob, texts: 2 })
    for (const table of ['responses', 'stored_completions'] as const)
      expect((await rowsOf(stele, table)).map(({ call_id }) => call_id)).toEqual([other.callId])
    await stele.conversations.purge('bob', other.conversationId)
    expect(await textsWith(stele, 'hush-hush')).toEqual([])
  })

  test('a response whose reply lies in a fork goes with the fork, whichever of its calls made it', async () => {
    const stele = await (await bed.place()).stele()
    const callId = newId('call')
    const response = responseStart(callId, 'hush-hush')
    const failed = await begin(stele, chatBody([user('q')]), { callId, response })
    await settle(stele, failed, { status: 'failed', errorCode: 'x' })
    const retry = await begin(stele, chatBody([user('q')]), { groupId: callId, routeMode: 'retry' })
    const { conversationId } = failed
    await stele.messages.append({
      userId: 'ada',
      conversationId,
      messages: [{ message: assistant('meanwhile') }],
    })
    const late = await settle(stele, retry, {
      ...completed(completionBody('hush-hush too')),
      response: { id: response.id, status: 'completed', body: '"hush-hush"' },
    })
    expect(late.conversationId).not.toBe(conversationId)
    await stele.conversations.purge('ada', late.conversationId)
    expect(await textsWith(stele, 'hush-hush')).toEqual([])
  })

  test('what a fork shared with a purged conversation leaves the search index with the fork', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('shared')], 'a')
    await exchange(stele, [user('shared'), assistant('a'), user('own')], 'b')
    const fork = await exchange(stele, [user('shared'), assistant('a'), user('other')], 'c')
    await stele.conversations.purge('ada', first.call.conversationId)
    // As `stele search --reindex` does.
    await queueEverything(stele.database)
    await indexed(stele)
    await stele.conversations.purge('ada', fork.call.conversationId)
    expect(await indexOf(stele)).toEqual({ places: [], texts: 0 })
  })

  test('a conversation whose call is under way is not purged before that has ended', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    await failure('conversation_in_use', stele.conversations.purge('ada', call.conversationId))
    await settle(stele, call, completed(completionBody('late')))
    await stele.conversations.purge('ada', call.conversationId)
    expect(await rowsOf(stele, 'messages')).toEqual([])
  })

  test('what a fork shares stays with the fork, and goes with it', async () => {
    const stele = await (await bed.place()).stele()
    const shared = [user('shared 0'), assistant('shared 1')]
    const first = await exchange(stele, [user('shared 0')], 'shared 1')
    const parent = first.call.conversationId
    await exchange(stele, [...shared, user('own-to-parent')], 'own-to-parent too')
    const fork = await exchange(stele, [...shared, user('fork 2')], 'fork 3')
    const forkId = fork.call.conversationId
    expect(forkId).not.toBe(parent)

    await stele.conversations.purge('ada', parent)
    expect(await textsWith(stele, 'own-to-parent')).toEqual([])
    expect(await stele.conversations.get('ada', parent)).toBeUndefined()
    await failure('conversation_not_found', stele.conversations.restore('ada', parent))
    await failure('conversation_not_found', stele.conversations.purge('ada', parent))
    expect(await historyOf(stele, forkId)).toEqual([...shared, user('fork 2'), assistant('fork 3')])
    expect(await reproduced(stele, fork.call.callId)).toMatchObject({ request: fork.request })
    const next = await exchange(
      stele,
      [...shared, user('fork 2'), assistant('fork 3'), user('fork 4')],
      'fork 5',
    )
    expect(next.call.conversationId).toBe(forkId)

    await stele.conversations.purge('ada', forkId)
    expect(await rowsOf(stele, 'messages')).toEqual([])
    expect(await rowsOf(stele, 'conversations')).toEqual([])
  })

  test('an export holds what applications keep and what is left of purged conversations, and imports as it was', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const shared = [user('q'), assistant('a')]
    const { call } = await exchange(stele, [user('q')], 'a')
    await exchange(stele, [...shared, user('more')], 'b')
    await exchange(stele, [...shared, user('other')], 'c')
    const gone = await exchange(stele, [user('gone')], 'd')
    await stele.conversations.purge('ada', call.conversationId)
    await stele.conversations.purge('ada', gone.call.conversationId)
    const { id } = await stele.conversations.create({
      userId: 'ada',
      sessionId: 's',
      metadata: { a: 1 },
      messages: [{ message: { role: 'critic', content: 'no' }, intent: 'i', costNanousd: 5 }],
    })
    const snapshot = { userId: 'ada', conversationId: id, upToSeq: 0, content: 'in short: no' }
    await stele.contextSnapshots.create(snapshot)
    const lines = await exported(stele)
    expect(lines.filter(line => line.includes('"request":null'))).toHaveLength(3)

    const target = await (await bed.place()).stele()
    const file = Readable.from([Buffer.from(lines.join(''))])
    await importLines(target.database, target.hashes, file)
    expect((await exported(target)).slice(1)).toEqual(lines.slice(1))
    expect(await target.contextSnapshots.latest('ada', id)).toMatchObject(snapshot)
  })
}

async function exported(stele: Stele): Promise<string[]> {
  let text = ''
  await exportLines(stele.database, async lines => {
    text += lines
  })
  return text.split(/(?<=\n)/)
}
