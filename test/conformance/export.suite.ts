import { expect, test } from 'vitest'
import type { SteleError } from '../../src/errors.ts'
import { newId } from '../../src/ids.ts'
import { type ExportOptions, exportLines } from '../../src/moving/export.ts'
import { type ImportOptions, type ImportReport, importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  system,
  user,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { recordOddities } from '../harness/odd-record.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { pythonJson } from '../harness/spellings.ts'

type Line = Record<string, unknown> & { type?: string }

async function exported({ database }: Stele, options: ExportOptions = {}): Promise<string[]> {
  let text = ''
  await exportLines(
    database,
    async lines => {
      text += lines
    },
    options,
  )
  expect(text.endsWith('\n')).toBe(true)
  return text.slice(0, -1).split('\n')
}

/** Hands the text over in pieces that end anywhere, as a file would. */
async function* pieces(text: string): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text)
  for (let at = 0, size = 1; at < bytes.byteLength; at += size, size = Math.min(size * 3 + 1, 65_536))
    yield bytes.subarray(at, at + size)
}

function imported(
  { database, hashes }: Stele,
  lines: readonly (string | object)[],
  options: ImportOptions = {},
): Promise<ImportReport> {
  const text = lines.map(line => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('')
  return importLines(database, hashes, pieces(text), options)
}

const body = (lines: readonly string[]): string[] => lines.slice(1)
const parsed = (lines: readonly string[]): Line[] => body(lines).map(line => JSON.parse(line) as Line)

export function exportSuite(from: Bed, to: Bed): void {
  const stores = async (): Promise<{ source: Stele; target: Stele }> => ({
    source: await (await from.place()).stele(),
    target: await (await to.place()).stele(),
  })

  test('what is exported, imported and exported again is the same, byte for byte', async () => {
    const { source, target } = await stores()
    const calls = await recordOddities(source)
    await source.users.create('without calls', { email: 'x@example.org' })
    const lines = await exported(source)
    const counts = await imported(target, lines)
    expect(counts).toEqual({ imported: lines.length - 2, present: 0, refused: 0 })
    const again = await exported(target)
    expect(again.length).toBe(lines.length)
    for (const [index, line] of body(again).entries())
      expect(line === body(lines)[index], line.slice(0, 300)).toBe(true)
    for (const { callId, userId, request, response } of calls) {
      expect((await target.calls.exactRequest(userId, callId)).equals(Buffer.from(request))).toBe(true)
      expect(await target.calls.exactResponse(userId, callId)).toEqual(response)
    }
    expect(await rowsOf(target, 'usage_daily')).toEqual(await rowsOf(source, 'usage_daily'))
    expect((await target.database.examine()).filter(({ ok }) => !ok)).toEqual([])
  })

  test('conversations go on where they were, and what was sent again is found again', async () => {
    const { source, target } = await stores()
    const story = [system('be brief'), user('one')]
    const first = await exchange(source, story, 'answer one')
    const forked = await exchange(source, story, 'another answer')
    const toSystem = await exchange(source, [user('lead'), system('now answer')], 'yes')
    await imported(target, await exported(source))
    for (const [recorded, reply] of [
      [first, 'answer one'],
      [forked, 'another answer'],
    ] as const) {
      const next = await exchange(target, [...story, assistant(reply), user(`after ${reply}`)], 'on it goes')
      expect(next.call.conversationId).toBe(recorded.settled.conversationId)
      const own = (await rowsOf(target, 'messages')).filter(row => row.call_id === next.call.callId)
      expect(own.map(({ seq }) => seq).sort()).toEqual([3, 4])
      expect((await target.calls.exactRequest('ada', next.call.callId)).toString()).toBe(next.request)
    }
    // A request that ends in a message that starts no search is found by its last message all the same.
    const same = await begin(target, toSystem.request)
    expect(same.conversationId).not.toBe('')
    const conversation = await target.conversations.get('ada', same.conversationId)
    expect(conversation?.parentId).toBe(toSystem.call.conversationId)
    expect((await rowsOf(target, 'messages')).filter(row => row.call_id === same.callId)).toEqual([])
    // Nothing is stored twice: neither as a frame without its messages, nor as an echo.
    const requests = await rowsOf(target, 'llm_requests')
    expect(requests.filter(row => row.body !== null)).toEqual([])
    expect((await rowsOf(target, 'messages')).filter(row => row.echo !== null)).toEqual([])
  })

  test('another spelling of a history is known after the import as it was before', async () => {
    const { source, target } = await stores()
    const python = (messages: readonly unknown[]): string => pythonJson({ model: 'm', messages })
    const history = [user('one'), assistant('a'), user('two')]
    await exchange(source, [user('one')], 'a')
    await exchange(source, python(history), 'b')
    await imported(target, await exported(source))
    const stored = []
    for (const stele of [source, target]) {
      const { call } = await exchange(stele, python([...history, assistant('b'), user('three')]), 'c')
      expect((await stele.calls.exactRequest('ada', call.callId)).toString()).toContain('"three"')
      const rows = (await rowsOf(stele, 'messages')).filter(row => row.call_id === call.callId)
      stored.push(
        rows.map(({ seq, echo_from, echo }) => [seq, echo_from, echo && Buffer.from(echo).toString()]),
      )
    }
    // Only the reply, which that client had not sent before, is kept in its spelling.
    expect(stored[0]).toContainEqual([4, 3, expect.stringContaining('"b"')])
    expect(stored[1]).toEqual(stored[0])
  })

  test('importing again changes nothing; a later export brings what came since', async () => {
    const { source, target } = await stores()
    const { call } = await exchange(source, [user('one')], 'a')
    const pending = await begin(source, chatBody([user('slow')]))
    const early = await exported(source)
    await imported(target, early)
    const usage = await rowsOf(target, 'usage_daily')
    expect(await imported(target, early)).toEqual({ imported: 0, present: early.length - 2, refused: 0 })
    expect(await rowsOf(target, 'usage_daily')).toEqual(usage)
    expect(body(await exported(target))).toEqual(body(early))
    expect((await target.calls.get('ada', pending.callId))?.status).toBe('pending')

    await source.recorder.settle(pending, completed(completionBody('at last')))
    await exchange(source, [user('one'), assistant('a'), user('two')], 'b')
    const late = await exported(source)
    const report = await imported(target, late)
    expect(report).toMatchObject({ refused: 0, present: early.length - 3 })
    expect(body(await exported(target))).toEqual(body(late))
    expect(await rowsOf(target, 'usage_daily')).toEqual(await rowsOf(source, 'usage_daily'))
    const next = await exchange(
      target,
      [user('one'), assistant('a'), user('two'), assistant('b'), user('3')],
      'c',
    )
    expect(next.call.conversationId).toBe(call.conversationId)
  })

  test('one user alone is exported with all that is theirs and nothing else', async () => {
    const { source, target } = await stores()
    await exchange(source, [user('of ada')], 'to ada')
    await exchange(source, [user('of bob')], 'to bob', { userId: 'bob' })
    const lines = await exported(source, { userId: 'bob' })
    expect(lines.join()).not.toMatch(/\bada\b/)
    expect(parsed(lines).map(({ type }) => type)).toEqual([
      'user',
      'conversation',
      'message',
      'message',
      'call',
      'audit_event',
      'audit_event',
      'held',
      'held',
      'end',
    ])
    await imported(target, lines)
    expect((await rowsOf(target, 'users')).map(({ id }) => id)).toEqual(['bob'])
  })

  test('keys go out and come in only when asked, secrets never', async () => {
    const { source, target } = await stores()
    const { secret, id } = await source.apiKeys.create({ userId: 'ada', scopes: ['admin'] })
    const hash = (await rowsOf(source, 'api_keys'))[0]?.key_hash ?? ''
    const wrapped = (await rowsOf(source, 'secrets'))[0]?.wrapped_key ?? new Uint8Array()
    const without = (await exported(source)).join('\n')
    const withKeys = await exported(source, { withKeys: true })
    expect(without).not.toContain(hash)
    for (const encoding of ['base64', 'base64url', 'hex'] as const)
      expect(withKeys.join('\n')).not.toContain(Buffer.from(wrapped).toString(encoding))
    const error = await failure('import_invalid', imported(target, withKeys))
    expect(error.message).toContain('--with-keys')
    expect(await countOf(target, 'api_keys')).toBe(0)
    await imported(target, withKeys, { withKeys: true })
    expect(await target.apiKeys.findBySecret(secret)).toMatchObject({ id, scopes: ['admin'] })
    expect(body(await exported(target, { withKeys: true }))).toEqual(body(withKeys))
  })

  test('a fork with an older id than its parent comes after it', async () => {
    const { source, target } = await stores()
    const [fork, forkOfFork, parent] = [1, 2, 3].map(() => newId('conversation'))
    const conversation = {
      type: 'conversation',
      user_id: 'ada',
      title: null,
      status: 'active',
      metadata: null,
    }
    const times = { created_at: 1, updated_at: 1, deleted_at: null }
    const lines = (
      [
        [parent, null, null, 0],
        [fork, parent, 0, 1],
        [forkOfFork, fork, 1, 2],
      ] as const
    ).flatMap(([id, parent_id, parent_seq, seq]) => [
      { ...conversation, id, next_seq: seq + 1, parent_id, parent_seq, ...times },
      messageLine({ conversation_id: id, seq, message: `{"role":"user","content":"${seq}"}` }),
    ])
    const header = { format: 'stele-export', version: 1, created_at: 1, source: 'by hand' }
    await imported(source, [header, ...lines, { type: 'end', records: 6 }])
    const again = await exported(source)
    const ids = parsed(again).flatMap(({ type, id }) => (type === 'conversation' ? [id] : []))
    expect(ids).toEqual([parent, fork, forkOfFork])
    expect(await imported(target, again)).toMatchObject({ refused: 0, imported: 7 })
    const next = await exchange(target, [user('0'), user('1'), user('2'), user('3')], 'done')
    expect(next.call.conversationId).toBe(forkOfFork)
  })

  test('a line that cannot be imported is named; those around it are imported if so asked', async () => {
    const { source } = await stores()
    await exchange(source, [user('one')], 'a')
    const lines = await exported(source)
    const [userLine, conversation, question, answer, call, event] = parsed(lines) as [
      Line,
      Line,
      Line,
      Line,
      Line,
      Line,
    ]
    const end = { type: 'end', records: 9 }
    const other = { conversation_id: newId('conversation') }
    const hostile: [string, object | string, string][] = [
      ['no JSON', '{"type":"user",', 'not valid JSON'],
      ['an empty line', '', 'not valid JSON'],
      ['no object', '[1]', 'expected object'],
      ['an unknown type', { ...userLine, type: 'admin' }, 'type'],
      ['a member too many', { ...userLine, password: 'x' }, 'password'],
      ['a member missing', { ...call, provider: undefined }, 'provider'],
      ['a number as text', { ...question, seq: '0' }, 'seq'],
      ['a negative number', { ...question, seq: -1 }, 'seq'],
      ['a number beyond exactness', { ...call, created_at: 2 ** 60 }, 'created_at'],
      ['a time without a day', { ...call, created_at: 8.64e15 }, 'created_at'],
      ['an id of another kind', { ...call, id: question['id'] }, 'id of the kind call'],
      ['an id that is none', { ...call, id: "call_'; DROP TABLE users; --" }, 'id of the kind call'],
      ['a user with a control character', { ...userLine, id: 'a\u001b[2J' }, 'control character'],
      ['NUL in a column', { ...event, target: 'a\0b' }, 'NUL'],
      ['half a surrogate pair', { ...event, target: '\ud800' }, 'surrogate'],
      [
        'half a surrogate pair in content',
        JSON.stringify(call).replace('"request":"', '"request":"\\ud800'),
        '',
      ],
      ['a message that is no JSON', { ...question, id: newId('message'), message: '{' }, 'JSON'],
      ['two messages in one', { ...question, message: '{"role":"user"},{"role":"user"}' }, 'one message'],
      ['a message that breaks out', { ...question, message: '{"role":"user"}],"x":[1' }, 'one message'],
      [
        'a message nested too deep',
        { ...question, message: `{"role":"user","content":${'['.repeat(5_000)}${']'.repeat(5_000)}}` },
        'nested deeper',
      ],
      ['a message of another role', { ...question, role: 'system' }, 'role'],
      ['a message without its conversation', { ...question, ...other }, 'conversation is missing'],
      ['a message beyond the end', { ...question, seq: 9 }, 'messages 0 to 1'],
      ['another message in its place', { ...answer, id: newId('message') }, 'another message stands'],
      ['an echo that does not fit', { ...answer, echo: { from: 5, messages: ['{"role":"user"}'] } }, 'echo'],
      [
        'a fork of nothing',
        { ...conversation, id: newId('conversation'), parent_id: other.conversation_id, parent_seq: 0 },
        'forked from is missing',
      ],
      [
        'a fork of itself',
        { ...conversation, id: other.conversation_id, parent_id: other.conversation_id, parent_seq: 0 },
        'forked from is missing',
      ],
      [
        'a fork behind the end',
        {
          ...conversation,
          id: newId('conversation'),
          parent_id: conversation['id'],
          parent_seq: 7,
          next_seq: 9,
        },
        'does not have',
      ],
      [
        'another beginning',
        { ...conversation, parent_id: conversation['id'], parent_seq: 0 },
        'another beginning',
      ],
      ['a request that is none', { ...call, id: newId('call'), request: 'hello' }, 'not valid JSON'],
      ['a request of other messages', { ...call, id: newId('call'), up_to_seq: 4 }, 'up_to_seq'],
      [
        'a status there is not',
        { ...call, response: { ...(call['response'] as object), status: 'paid' } },
        'status',
      ],
      ['a line behind the last', '', ''],
    ]
    const target = await (await to.place()).stele()
    await imported(target, lines)
    for (const [name, line, reason] of hostile.slice(0, -1)) {
      const late = { ...userLine, id: `after ${name}` }
      const all = [...lines.slice(0, -1), line, late, end]
      const problems: SteleError[] = []
      const report = await imported(target, all, {
        keepGoing: true,
        onProblem: problem => problems.push(problem),
      })
      const first = problems[0]
      expect(first?.code, name).toBe('import_invalid')
      expect(first?.details['line'], name).toBe(lines.length)
      expect(first?.message, name).toContain(reason)
      expect(report.imported, name).toBe(1)
      const stopped = await failure(
        'import_invalid',
        imported(target, [...all.slice(0, -2), { ...late, id: `never ${name}` }, end]),
        name,
      )
      expect(stopped.details['line'], name).toBe(lines.length)
    }
    const users = (await rowsOf(target, 'users')).map(({ id }) => id)
    expect(users.filter(id => id.startsWith('after '))).toHaveLength(hostile.length - 1)
    expect(users.filter(id => id.startsWith('never '))).toEqual([])
    expect(await countOf(target, 'messages')).toBe(2)
    expect(await countOf(target, 'llm_requests')).toBe(1)
  })

  test('a file that was cut short, or is something else, is told', async () => {
    const { source, target } = await stores()
    await exchange(source, [user('one')], 'a')
    const lines = await exported(source)
    const all = { keepGoing: true }
    for (const first of [
      '{"type":"user"}',
      'SQLite format 3',
      '{"format":"stele-export","version":2,"created_at":1,"source":""}',
    ])
      await failure('import_invalid', imported(target, [first, ...body(lines)], all))
    await failure('import_invalid', imported(target, [], all))
    expect(await countOf(target, 'users')).toBe(0)
    await failure('import_invalid', imported(target, lines.slice(0, -1)))
    expect(await countOf(target, 'llm_requests')).toBe(1)
    expect(await imported(target, lines.slice(0, -1), all)).toMatchObject({ refused: 1 })
    const gap = [...lines.slice(0, 2), ...lines.slice(3)]
    const error = await failure('import_invalid', imported(await (await to.place()).stele(), gap))
    expect(error.details['line']).toBe(3)
  })

  test('what stands before a bad line is imported, and checking alone imports nothing', async () => {
    const { source, target } = await stores()
    await exchange(source, [user('one')], 'a')
    const lines = await exported(source)
    await imported(target, lines, { dryRun: true })
    expect(await countOf(target, 'users')).toBe(0)
    const bad = [...lines.slice(0, 4), 'oops', ...lines.slice(4)]
    await failure('import_invalid', imported(target, bad, { dryRun: true }))
    const error = await failure('import_invalid', imported(target, bad))
    expect(error.message).toBe('Line 5 cannot be imported: it is not valid JSON')
    expect(await countOf(target, 'messages')).toBe(1)
    expect(await imported(target, lines)).toMatchObject({ refused: 0, present: 3 })
    expect(body(await exported(target))).toEqual(body(lines))
  })
}

function messageLine(more: Line): Line {
  return {
    type: 'message',
    id: newId('message'),
    user_id: 'ada',
    role: 'user',
    model: null,
    call_id: null,
    created_at: 1,
    echo: null,
    ...more,
  }
}
