import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { importForeign } from '../../src/moving/foreign/import-foreign.ts'
import type { Stele } from '../../src/stele.ts'
import { ExportTree, richConversation } from '../harness/chatgpt-export.ts'
import { type Bed, temporaryFolder } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { rowsOf } from '../harness/rows.ts'
import { zipOf } from '../harness/zip.ts'

async function fileOf(name: string, content: string | Buffer): Promise<string> {
  const path = join(await temporaryFolder(), name)
  await writeFile(path, content)
  return path
}

async function said(stele: Stele, userId: string, conversationId: string): Promise<unknown[]> {
  const messages = await stele.messages.list({ userId, conversationId })
  return messages.map(({ raw }) => JSON.parse(raw) as unknown)
}

const session = { user_id: 'ada', session_id: 's', messages: [{ role: 'user', content: 'Hi' }] }

export function foreignFilesSuite(to: Bed): void {
  test("ChatGPT's archive: what was shown is the conversation, other ways are forks, tools are tool calls", async () => {
    const stele = await (await to.place()).stele()
    const from = await fileOf(
      'export.zip',
      zipOf({
        'chat.html': '<html>',
        'user.json': '{"id": "user-abc", "email": "ada@example.org", "phone_number": "+1"}',
        'conversations.json': JSON.stringify([richConversation(), { title: 'damaged' }]),
        'message_feedback.json': '[]',
      }),
    )
    const report = await importForeign(stele, { from, as: 'auto' })
    expect(report.format).toBe('chatgpt')
    expect(report.tables).toEqual([
      { table: 'user', rows: 1, mapped: 1, skipped: [] },
      { table: 'messages', rows: 13, mapped: 11, skipped: expect.anything() },
      {
        table: 'conversations',
        rows: 2,
        mapped: 1,
        skipped: [{ reason: 'its shape is none that is known', rows: 1 }],
      },
      {
        table: 'other files',
        rows: 2,
        mapped: 0,
        skipped: [{ reason: 'only conversations are imported', rows: 2 }],
      },
    ])
    expect(report.tables[1]?.skipped).toEqual([
      { reason: 'a node of the tree without a message', rows: 1 },
      { reason: 'it is empty', rows: 1 },
    ])
    const conversations = await rowsOf(stele, 'conversations')
    const shown = conversations.find(({ session_id }) => session_id !== null)
    expect(shown).toMatchObject({
      user_id: 'user-abc',
      session_id: '6543f0a1-0000-8000-8000-000000000001',
      title: 'Title of 6543f0a1-0000-8000-8000-000000000001 🗿',
      updated_at: 1_700_000_500_250,
      next_seq: 8,
    })
    expect(await said(stele, 'user-abc', shown?.id ?? '')).toEqual([
      { role: 'system', content: 'I am Ada.\nBe brief.' },
      { role: 'user', content: 'asked' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'code', type: 'custom', custom: { name: 'python', input: 'print(6 * 7)' } }],
      },
      { role: 'tool', tool_call_id: 'code', content: '42' },
      { role: 'assistant', content: 'answer' },
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: 'file-service://file-abc' } },
          { type: 'text', text: 'What is this?' },
        ],
      },
      { role: 'assistant', content: 'Looking\nA stone.' },
      { role: 'assistant', content: 'A stele.\n🗿 NUL:\0' },
    ])
    const ways = await Promise.all(
      conversations.map(async ({ id, parent_seq }) => [
        parent_seq,
        ((await said(stele, 'user-abc', id)).at(-1) as { content: string }).content,
      ]),
    )
    expect(ways).toEqual(
      expect.arrayContaining([
        [null, 'old answer'],
        [1, 'reply to edited'],
        [4, 'A stele.\n🗿 NUL:\0'],
      ]),
    )
    expect(await importForeign(stele, { from, as: 'chatgpt' })).toMatchObject({
      imported: 0,
      present: report.imported,
    })
  })

  test('what a conversation got since the last export is added', async () => {
    const stele = await (await to.place()).stele()
    const tree = new ExportTree()
    tree.add('a', 'client-created-root', {})
    tree.add('b', 'a', { role: 'assistant' })
    const path = await fileOf('conversations.json', JSON.stringify([tree.conversation('c1', 'b')]))
    await failure('usage', importForeign(stele, { from: path, as: 'auto' }))
    const options = { from: path, as: 'auto' as const, owner: 'ada' }
    expect(await importForeign(stele, options)).toMatchObject({ imported: 3 })
    tree.add('c', 'b', {})
    tree.add('other b', 'a', { role: 'assistant' })
    await writeFile(path, JSON.stringify([tree.conversation('c1', 'c', { update_time: 1_800_000_000 })]))
    const report = await importForeign(stele, options)
    expect(report).toMatchObject({ imported: 3, present: 3 })
    expect(report.tables.flatMap(({ skipped }) => skipped.map(({ reason }) => reason))).toEqual([
      'a node of the tree without a message',
    ])
    const [first] = (await rowsOf(stele, 'conversations')).filter(({ parent_id }) => parent_id === null)
    expect(first).toMatchObject({ next_seq: 3, updated_at: 1_800_000_000_000 })
  })

  test('another answer that is shown now moves nothing that was imported', async () => {
    const stele = await (await to.place()).stele()
    const tree = new ExportTree()
    tree.add('a', 'client-created-root', {})
    tree.add('b', 'a', { role: 'assistant' })
    tree.add('c', 'b', {})
    const path = await fileOf('conversations.json', JSON.stringify([tree.conversation('c1', 'c')]))
    const options = { from: path, as: 'auto' as const, owner: 'ada' }
    await importForeign(stele, options)
    tree.add('other b', 'a', { role: 'assistant' })
    tree.add('d', 'other b', {})
    await writeFile(path, JSON.stringify([tree.conversation('c1', 'd')]))
    expect(await importForeign(stele, options)).toMatchObject({ imported: 3, present: 4 })
    const ways = (await rowsOf(stele, 'conversations')).map(
      async ({ id }) => (await said(stele, 'ada', id)).length,
    )
    expect(await Promise.all(ways)).toEqual([3, 3])
  })

  test('sessions in plain JSON: a list, one object by name, or an object a line', async () => {
    const stele = await (await to.place()).stele()
    const messages = [
      { role: 'system', content: 'Be brief.', created_at: '2024-01-01T00:00:00Z' },
      { role: 'human', content: 'Hi', timestamp: 1_704_067_201 },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 't', type: 'function', function: { name: 'f', arguments: '{}' } }],
        model: 'gpt-4o',
      },
      { role: 'nobody', content: 'x' },
      { role: 'user' },
      'no message',
    ]
    const list = await fileOf(
      'sessions.json',
      `\uFEFF ${JSON.stringify([{ ...session, session_id: 'list', title: 'T', messages }, 7, { messages: [] }], null, 2)}`,
    )
    const report = await importForeign(stele, { from: list, as: 'auto' })
    expect(report.tables).toEqual([
      {
        table: 'messages',
        rows: 6,
        mapped: 3,
        skipped: [
          { reason: 'its role is none that is known', rows: 1 },
          { reason: 'it has no content', rows: 1 },
          { reason: 'it is no message: it needs a role and content', rows: 1 },
        ],
      },
      {
        table: 'sessions',
        rows: 3,
        mapped: 1,
        skipped: [
          { reason: 'it is no session: it has no list of messages', rows: 1 },
          { reason: 'it has no session_id', rows: 1 },
        ],
      },
    ])
    const [conversation] = await rowsOf(stele, 'conversations')
    expect(conversation).toMatchObject({
      user_id: 'ada',
      session_id: 'list',
      title: 'T',
      created_at: 1_704_067_200_000,
    })
    expect(await said(stele, 'ada', conversation?.id ?? '')).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 't', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
    ])
    const named = await fileOf(
      'named.json',
      JSON.stringify({ one: [{ role: 'user', content: '1' }], two: { messages: [] } }),
    )
    expect(await importForeign(stele, { from: named, as: 'auto', owner: 'bob' })).toMatchObject({
      imported: 3,
    })
    const lines = await fileOf(
      'lines.jsonl',
      [session, { ...session, session_id: 't' }].map(each => JSON.stringify(each)).join('\n\n'),
    )
    expect(await importForeign(stele, { from: lines, as: 'auto' })).toMatchObject({ imported: 4 })
    const names = (await rowsOf(stele, 'conversations')).map(({ session_id }) => session_id)
    expect(names.sort()).toEqual(['list', 'one', 's', 't', 'two'])
  })

  test('damage is told with its place; what stands before it stays, and mended the import goes on', async () => {
    const stele = await (await to.place()).stele()
    const sessions = ['a', 'b', 'c'].map(session_id => JSON.stringify({ ...session, session_id }))
    const from = await fileOf(
      'sessions.json',
      `[\n${sessions[0]},\n${sessions[1]?.replace('"Hi"', '"Hi" oops')},\n${sessions[2]}]`,
    )
    const error = await failure('source_invalid', importForeign(stele, { from, as: 'auto' }))
    expect(error.message).toMatch(/sessions\.json is not valid JSON at line 3, column 7\d:/)
    expect(await rowsOf(stele, 'messages')).toHaveLength(1)
    await writeFile(from, `[\n${sessions.join(',\n')}]`)
    expect(await importForeign(stele, { from, as: 'auto' })).toMatchObject({ imported: 4, present: 2 })
    const cut = await fileOf('cut.json', `[${sessions.join(',')}`)
    expect(
      (await failure('source_invalid', importForeign(stele, { from: cut, as: 'auto' }))).message,
    ).toContain('line 1')
    const line = await fileOf('lines.jsonl', `${sessions[0]}\n{"session_id": "b"\n${sessions[2]}\n`)
    expect(
      (await failure('source_invalid', importForeign(stele, { from: line, as: 'sessions-json' }))).message,
    ).toContain('line 2')
    const bytes = await fileOf(
      'latin1.json',
      Buffer.from(`[${sessions[0]?.replace('Hi', 'Gr\u00fc\u00dfe')}]`, 'latin1'),
    )
    expect(
      (await failure('source_invalid', importForeign(stele, { from: bytes, as: 'sessions-json' }))).message,
    ).toContain('UTF-8')
    const archive = await fileOf('broken.zip', zipOf({ 'conversations.json': '[]' }).subarray(0, 80))
    await failure('source_unreadable', importForeign(stele, { from: archive, as: 'auto', owner: 'x' }))
    await failure('source_unreadable', importForeign(stele, { from: '/nowhere/at/all.json', as: 'auto' }))
    const other = await fileOf('other.json', '[{"a": 1}]')
    await failure('source_unrecognized', importForeign(stele, { from: other, as: 'auto' }))
    await failure('source_unrecognized', importForeign(stele, { from: other, as: 'procode' }))
    const empty = await fileOf('empty.json', '')
    const nothing = await failure('source_unrecognized', importForeign(stele, { from: empty, as: 'auto' }))
    expect(nothing.message).toContain('it is empty')
    const named = await fileOf('named.json', `[${sessions[0]}]`)
    const wrong = importForeign(stele, { from: named, as: 'chatgpt', owner: 'ada' })
    expect((await failure('source_unrecognized', wrong)).message).toContain('one of sessions-json')
  })
}
