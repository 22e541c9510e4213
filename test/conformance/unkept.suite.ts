import { readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { contentColumnsOf, type TableName, tableNames } from '../../src/db/tables.ts'
import { LimitBook } from '../../src/limits/book.ts'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import { Accounting } from '../../src/pricing/accounting.ts'
import { decodeContent, isAbsent } from '../../src/privacy/content.ts'
import { replayProvider } from '../../src/providers/replay.ts'
import type { Operation } from '../../src/recorder/operations.ts'
import { Recorder } from '../../src/recorder/recorder.ts'
import { directWriter } from '../../src/recorder/writer.ts'
import type { Stele } from '../../src/stele.ts'
import { storeSearchTokens } from '../../src/store/search-keys.ts'
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
  system,
  user,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { rowsOf } from '../harness/rows.ts'
import { spellings } from '../harness/spellings.ts'

const secret = 'classified'
const unstored = { store: false }

/** The places in the database that hold the secret, in any form. */
async function leaks(stele: Stele): Promise<string[]> {
  const found: string[] = []
  for (const table of tableNames as readonly TableName[]) {
    for (const row of await rowsOf(stele, table)) {
      for (const [column, value] of Object.entries(row)) {
        const isContent = contentColumnsOf(table).some(({ name }) => name === column)
        if (holds(value, isContent)) found.push(`${table}.${column}`)
      }
    }
  }
  return found
}

function holds(value: unknown, isContent: boolean): boolean {
  if (typeof value === 'string') return value.includes(secret)
  if (!(value instanceof Uint8Array)) return false
  if (Buffer.from(value).includes(secret)) return true
  // A compressed value does not show what it says.
  return isContent && !isAbsent(value) && decodeContent(value).includes(secret)
}

/** A whole call that asks for nothing to be kept. */
async function unkept(stele: Stele, messages: readonly unknown[], reply: string) {
  const call = await begin(stele, chatBody(messages, unstored))
  const settled = await settle(stele, call, completed(completionBody(reply)))
  return { call, settled }
}

export function unkeptSuite(bed: Bed): void {
  test('a call that asks for it leaves its facts and nothing of what was said', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { call } = await unkept(stele, [system(`a ${secret} rule`), user(`${secret}?`)], `${secret}!`)
    expect(await leaks(stele)).toEqual([])
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({
      status: 'completed',
      requestModel: 'test-model',
      responseModel: 'test-model-2026',
      providerResponseId: 'chatcmpl-1',
      finishReasons: ['stop'],
      inputTokens: 10,
      outputTokens: 5,
      conversationId: call.conversationId,
    })
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([{ calls: 1, input_tokens: 10 }])
    const messages = await stele.messages.list({ userId: 'ada', conversationId: call.conversationId })
    expect(messages.map(({ seq, role, raw, isKept }) => [seq, role, raw, isKept])).toEqual([
      [0, 'system', '{"role":"system","content":null}', false],
      [1, 'user', '{"role":"user","content":null}', false],
      [2, 'assistant', '{"role":"assistant","content":null}', false],
    ])
    await failure('content_not_kept', stele.calls.exactRequest('ada', call.callId))
    await failure('content_not_kept', stele.calls.exactResponse('ada', call.callId))

    if (bed.name !== 'SQLite file') return
    await stele.close()
    const folder = dirname(fileURLToPath(place.databaseUrl.replace('sqlite:', 'file://')))
    for (const file of readdirSync(folder))
      expect(readFileSync(`${folder}/${file}`).includes(secret)).toBe(false)
  })

  test('store: true, null and none keep everything, a stream and a refused request keep nothing', async () => {
    const stele = await (await bed.place()).stele()
    for (const store of [true, null, undefined]) {
      const { callId } = await begin(stele, chatBody([user('open')], { store }))
      expect((await stele.calls.exactRequest('ada', callId)).toString()).toContain('open')
    }
    const events = Buffer.from(
      `data: {"choices":[{"index":0,"delta":{"content":"${secret} "}}]}\n\n`.repeat(100),
    )
    const stream = await begin(stele, chatBody([user('a')], unstored))
    await settle(stele, stream, {
      status: 'aborted',
      body: events,
      reply: { finishReasons: [], usage: {}, message: { content: secret } },
    })
    const refused = await begin(stele, chatBody([user('b')], unstored))
    const error = `{"error":{"message":"${secret} is not allowed"}}`
    await settle(stele, refused, {
      status: 'failed',
      httpStatus: 400,
      body: error,
      errorCode: 'provider_error',
      errorMessage: 'The provider answered with status 400.',
    })
    const foreign = await begin(stele, chatBody([user('c')], unstored))
    await settle(stele, foreign, {
      status: 'failed',
      errorCode: 'external',
      errorMessage: `${secret} is not allowed`,
    })
    expect(await leaks(stele)).toEqual([])
    expect(await stele.calls.get('ada', refused.callId)).toMatchObject({
      errorMessage: 'The provider answered with status 400.',
    })
    expect(await stele.calls.get('ada', foreign.callId)).toMatchObject({
      errorCode: 'external',
      errorMessage: undefined,
    })
    await failure('content_not_kept', stele.calls.exactResponse('ada', stream.callId))
    await failure('content_not_kept', stele.calls.exactResponse('ada', refused.callId))
    // This one had no reply.
    expect(await stele.calls.exactResponse('ada', foreign.callId)).toBeUndefined()
  })

  test('nothing of what was said reaches the queue, and with it no spool', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { database, hashes } = stele
    const submitted: Operation[] = []
    const writer = directWriter({
      database,
      hashes,
      tokens: storeSearchTokens(database.contents),
      limits: new LimitBook(),
      knownUsers: new Set(),
    })
    const recorder = new Recorder({
      accounting: new Accounting({}),
      database,
      hashes,
      instanceId: 'inst_01h455vb4pex5vsknk084sn02q',
      writer: {
        ...writer,
        apply: operations => {
          submitted.push(...operations)
          return writer.apply(operations)
        },
      },
    })
    const body = chatBody([user(`${secret}?`)], unstored)
    const input = { userId: 'ada', provider: 'test', body }
    await recorder.settle(await recorder.begin(input), completed(completionBody(`${secret}!`)))
    await recorder.record(input, completed(Buffer.from(secret)))
    await recorder.close()
    const kinds = submitted.map(({ kind }) => kind).filter(kind => kind !== 'heartbeat')
    expect(kinds).toEqual(['begin', 'settle', 'record', 'postpone'])
    const bytesAsText = (_: string, value: unknown): unknown =>
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value
    expect(JSON.stringify(submitted, bytesAsText)).not.toContain(secret)
  })

  test.for(Object.entries(spellings))(
    '%s: a later request that is kept brings back its own history',
    async ([, spell]) => {
      const stele = await (await bed.place()).stele()
      const history = [user('one'), assistant('1'), user('two'), assistant('2'), user('three')]
      const text = (count: number) => spell(history.slice(0, count))
      const calls: { callId: string; request: string }[] = []
      const ask = async (count: number, isKept: boolean): Promise<void> => {
        const request = isKept ? text(count) : withStoreFalse(text(count))
        const call = await begin(stele, request)
        const reply = history[count]?.content ?? 'the end'
        await settle(stele, call, completed(completionBody(reply as string)))
        if (isKept) calls.push({ callId: call.callId, request })
        expect(call.conversationId).toBe(conversation ?? call.conversationId)
        conversation = call.conversationId
      }
      let conversation: string | undefined
      await ask(1, false)
      await ask(3, true)
      await ask(5, false)
      for (const { callId, request } of calls) expect((await reproduced(stele, callId)).request).toBe(request)
      history.push(assistant('the end'), user('four'))
      await ask(7, true)
      for (const { callId, request } of calls) expect((await reproduced(stele, callId)).request).toBe(request)
    },
  )

  test('the same request with and without store: false is kept where it asked for nothing', async () => {
    const stele = await (await bed.place()).stele()
    const messages = [user('the same')]
    const first = await unkept(stele, messages, 'A')
    const kept = await exchange(stele, messages, 'B')
    const again = await unkept(stele, messages, 'C')
    expect(await reproduced(stele, kept.call.callId)).toEqual({
      request: kept.request,
      response: kept.response,
    })
    // Each further reply to what is on record already is a fork.
    expect(new Set([first, kept, again].map(({ settled }) => settled.conversationId)).size).toBe(3)
    const followUp = chatBody([...messages, assistant('A'), user('on A')])
    const next = await begin(stele, followUp)
    expect(next.conversationId).toBe(first.settled.conversationId)
    expect((await reproduced(stele, next.callId)).request).toBe(followUp)
    expect(await historyOf(stele, next.conversationId)).toEqual([
      { role: 'user', content: null },
      { role: 'assistant', content: null },
      user('on A'),
    ])
  })

  test('its retries find their place and keep nothing either', async () => {
    const stele = await (await bed.place()).stele()
    await exchange(stele, [user('kept')], 'yes')
    const body = chatBody([user('kept'), assistant('yes'), user(secret)], unstored)
    const first = await begin(stele, body)
    await settle(stele, first, { status: 'failed', errorCode: 'x' })
    const retry = await begin(stele, body, { groupId: first.callId, routeMode: 'retry' })
    await settle(stele, retry, completed(completionBody(secret)))
    expect(retry.conversationId).toBe(first.conversationId)
    expect(await leaks(stele)).toEqual([])
    await failure('content_not_kept', stele.calls.exactRequest('ada', retry.callId))
  })

  test('begun twice it is one call, and a repeated settle changes nothing', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user(secret)], unstored)
    const { callId } = await begin(stele, body)
    const again = await begin(stele, body, { callId })
    expect(again.keepsContent).toBe(false)
    await settle(stele, again, completed(completionBody(secret)))
    expect(await settle(stele, again, completed(completionBody(secret)))).toMatchObject({ isRepeat: true })
    expect(await leaks(stele)).toEqual([])
  })

  test('a replay passes over it to a call whose reply was kept, and misses where there is none', async () => {
    const stele = await (await bed.place()).stele()
    const replay = (question: string) =>
      replayProvider('replay', stele).chat({
        userId: 'ada',
        model: 'test-model',
        request: parseChatRequest(chatBody([user(question)])),
        signal: new AbortController().signal,
      })
    await unkept(stele, [user('unkept')], 'A')
    await failure('replay_miss', replay('unkept'))
    const failed = await begin(stele, chatBody([user('q')], unstored))
    await settle(stele, failed, { status: 'failed', errorCode: 'x' })
    await exchange(stele, [user('q')], 'B')
    await unkept(stele, [user('q')], 'C')
    const chunks: Uint8Array[] = []
    await (await replay('q')).body.forEach(chunk => void chunks.push(chunk))
    expect(Buffer.concat(chunks).toString()).toBe(completionBody('B'))
  })

  test('exported, imported and exported again it is the same, and the calls around it stay exact', async () => {
    const stele = await (await bed.place()).stele()
    await unkept(stele, [user('one')], '1')
    const kept = await exchange(stele, [user('one'), assistant('1'), user('two')], '2')
    await unkept(
      stele,
      [user('one'), assistant('1'), user('two'), assistant('2', { refusal: null }), user('three')],
      '3',
    )
    const failed = await begin(stele, chatBody([user('x')], unstored))
    await settle(stele, failed, { status: 'failed', errorCode: 'orphaned' })
    const plain = await stele.recorder.begin({
      userId: 'ada',
      provider: 'test',
      operation: 'embeddings',
      body: '{"model":"m","input":"x"}',
    })
    await stele.recorder.settle(
      plain,
      completed('{"data":[]}', { reply: { finishReasons: [], usage: { inputTokens: 4 } } }),
    )
    const lines = await exportOf(stele)
    const target = await (await bed.place()).stele()
    const bytes = Buffer.from(lines.map(line => `${line}\n`).join(''))
    const report = await importLines(
      target.database,
      target.hashes,
      (async function* () {
        yield bytes
      })(),
    )
    expect(report).toMatchObject({ refused: 0, present: 0 })
    expect((await exportOf(target)).slice(1)).toEqual(lines.slice(1))
    expect(await reproduced(target, kept.call.callId)).toEqual({
      request: kept.request,
      response: kept.response,
    })
    await failure('content_not_kept', target.calls.exactRequest('ada', failed.callId))
    expect(await target.calls.get('ada', plain.callId)).toMatchObject({
      operation: 'embeddings',
      conversationId: '',
    })
    expect(await reproduced(target, plain.callId)).toEqual({
      request: '{"model":"m","input":"x"}',
      response: '{"data":[]}',
    })
    const sums = async (from: Stele) =>
      (await rowsOf(from, 'usage_daily')).map(row => [row.model, row.calls, row.input_tokens])
    expect(await sums(target)).toEqual(await sums(stele))
  })
}

async function exportOf({ database }: Stele): Promise<string[]> {
  let text = ''
  await exportLines(database, async lines => {
    text += lines
  })
  return text.trimEnd().split('\n')
}

/** The request's text with one member more, however it is spelled. */
function withStoreFalse(request: string): string {
  const at = request.indexOf('{') + 1
  return `${request.slice(0, at)}"store":false,${request.slice(at)}`
}
