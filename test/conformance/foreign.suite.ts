import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { exportLines } from '../../src/moving/export.ts'
import { FernetKey } from '../../src/moving/foreign/fernet.ts'
import { type ImportForeignOptions, importForeign } from '../../src/moving/foreign/import-foreign.ts'
import type { ForeignReport } from '../../src/moving/foreign/report.ts'
import { importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import type { Bed, BedName } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { type ForeignPlace, foreignPlace, type TableFormat } from '../harness/foreign.ts'
import { fernetKey, fernetToken, fills, oddTexts, uuid } from '../harness/foreign-rows.ts'
import { rowsOf } from '../harness/rows.ts'

/** Every kind of database is a source once and a target once. */
const sourceOf = (to: BedName): BedName => (to === 'PostgreSQL' ? 'SQLite file' : 'PostgreSQL')

const importedTables = [
  'users',
  'conversations',
  'messages',
  'llm_requests',
  'llm_responses',
  'usage_daily',
] as const

async function everything(stele: Stele): Promise<unknown[]> {
  const tables = [...importedTables, 'context_snapshots', 'audit_events'] as const
  return Promise.all(tables.map(table => rowsOf(stele, table)))
}

/** How often each reason was given, over all tables. */
function reasonsOf({ tables }: ForeignReport): Record<string, number> {
  return Object.fromEntries(
    tables.flatMap(({ table, skipped }) => skipped.map(({ reason, rows }) => [`${table}: ${reason}`, rows])),
  )
}

async function expectWhole(place: ForeignPlace, { tables }: ForeignReport): Promise<void> {
  const counted = Object.fromEntries(tables.map(({ table, rows }) => [table, rows]))
  const there = Object.entries(await place.counts()).filter(([, rows]) => rows > 0)
  expect(counted).toEqual(Object.fromEntries(there))
  for (const { rows, mapped, skipped } of tables)
    expect(skipped.reduce((sum, each) => sum + each.rows, mapped)).toBe(rows)
}

/** Whether what was imported can be exported, imported elsewhere and exported again, the same. */
async function movedOn(from: Stele, to: Stele): Promise<boolean> {
  const exported = async ({ database }: Stele): Promise<string> => {
    let text = ''
    await exportLines(database, async lines => {
      text += lines
    })
    return text
  }
  const lines = await exported(from)
  await importLines(to.database, to.hashes, Readable.from([Buffer.from(lines)]))
  const records = (text: string): string => text.slice(text.indexOf('\n'))
  return records(await exported(to)) === records(lines)
}

interface Said {
  readonly role: string
  readonly content: unknown
}

async function saidIn(stele: Stele, userId: string, sessionId: string): Promise<Said[]> {
  const row = (await rowsOf(stele, 'conversations')).find(
    each => each.user_id === userId && each.session_id === sessionId,
  )
  const messages = await stele.messages.list({ userId, conversationId: row?.id ?? '' })
  return messages.map(({ raw }) => JSON.parse(raw) as Said)
}

export function foreignSuite(to: Bed): void {
  const imported = async (
    format: TableFormat,
    options: Partial<ImportForeignOptions> = {},
  ): Promise<{ stele: Stele; source: ForeignPlace; report: ForeignReport }> => {
    const stele = await (await to.place()).stele()
    const source = await foreignPlace(format, sourceOf(to.name))
    await fills[format](source)
    const all = { ...source.options, as: 'auto' as const, ...options }
    const foretold = await importForeign(stele, { ...all, dryRun: true })
    expect(await everything(stele)).toEqual([[], [], [], [], [], [], [], []])
    const report = await importForeign(stele, all)
    expect({ ...foretold, dryRun: false }).toEqual(report)
    expect(report.format).toBe(format)
    await expectWhole(source, report)
    const before = await everything(stele)
    const again = await importForeign(stele, all)
    expect({ ...again, imported: report.imported, present: 0 }).toEqual(report)
    expect(again).toMatchObject({ imported: 0, present: report.imported })
    expect(await everything(stele)).toEqual(before)
    const { fault } = await stele.audit.verify({ contents: true })
    expect(fault).toBeUndefined()
    return { stele, source, report }
  }

  test('a chat coach: sessions by their names, in the order of their numbers', async () => {
    const { stele, report } = await imported('chat-coach')
    expect(await saidIn(stele, 'user1', 'default')).toEqual([
      { role: 'system', content: 'You are a coach.' },
      { role: 'assistant', content: 'Welcome!' },
      ...oddTexts.map(content => ({ role: 'user', content })),
    ])
    expect(await saidIn(stele, 'Žofie 👻', 'default')).toEqual([{ role: 'user', content: 'Ahoj' }])
    expect(await saidIn(stele, 'user1', 'lost')).toHaveLength(1)
    expect(await saidIn(stele, 'user1', 'empty')).toEqual([])
    expect(await rowsOf(stele, 'conversations')).toHaveLength(4)
    expect(reasonsOf(report)).toEqual({
      'messages: its role is none that is known': 1,
      "messages: Invalid value for 'user_id': 1 to 256 characters, none of them a control character": 1,
    })
  })

  test('an agent framework: costs by their digits, an audit log, nothing secret', async () => {
    const { stele, report } = await imported('procode')
    expect((await saidIn(stele, '1', 'c-ten')).map(({ content }) => content)).toEqual([
      'one',
      'two',
      'three',
      'four',
      ...oddTexts,
    ])
    const messages = (await rowsOf(stele, 'messages')).filter(({ role }) => role === 'assistant')
    expect(messages.map(({ model, cost_nanousd }) => [model, cost_nanousd])).toEqual([
      ['gpt-4', 300_000_000],
      [null, 100],
    ])
    expect(JSON.parse((await rowsOf(stele, 'messages'))[0]?.metadata ?? '')).toMatchObject({
      imported_from: 'procode',
    })
    const [ten] = (await rowsOf(stele, 'conversations')).filter(each => each.session_id === 'c-ten')
    expect(ten).toMatchObject({ title: 'Support 🛟', intent: 'support', updated_at: Date.UTC(2024, 0, 2) })
    expect(
      (await rowsOf(stele, 'conversations')).find(each => each.session_id === 'c-gone')?.deleted_at,
    ).not.toBeNull()
    const users = await rowsOf(stele, 'users')
    expect(users.map(({ id, email, role, status }) => [id, email, role, status])).toEqual([
      ['1', 'ada@example.org', 'member', 'active'],
      ['2', 'bob@example.org', 'member', 'disabled'],
    ])
    const events = await rowsOf(stele, 'audit_events')
    expect(events.map(each => [each.user_id, each.action, each.severity])).toEqual(
      expect.arrayContaining([
        ['1', 'blocked_content', 'warning'],
        ['system', 'blocked_content', 'warning'],
      ]),
    )
    expect(JSON.stringify(await everything(stele))).not.toMatch(/secret/)
    expect(reasonsOf(report)).toEqual({
      'conversations: it has no id of its own, or no user': 1,
      'messages: its conversation is missing, and with it its user': 2,
      'messages: its role is none that is known': 1,
      'messages: it has no content': 1,
      'audit_logs: it has no time': 1,
      "alembic_version: it tells the version of the source's schema": 1,
    })
    const told = report.notes.map(({ what }) => what)
    expect(told).toContain('users.hashed_password: not imported, it is a secret')
    expect(told).toContain('users.last_login: not imported, procode has no such column')
  })

  test('a command line for several models: calls beside messages, answers that no message holds as forks', async () => {
    const { stele, report } = await imported('cortexai')
    const ada = uuid(1)
    expect((await saidIn(stele, ada, uuid(10))).map(({ content }) => content)).toEqual([
      'What is Python?',
      'A language.',
      'Compare!',
      'Summary: both agree.',
      'And now?',
    ])
    const calls = await stele.calls.list({ userId: ada })
    const facts = calls.map(call => [
      call.provider,
      call.status,
      call.costNanousd,
      call.inputTokens,
      call.latencyMs,
    ])
    expect(facts.reverse()).toEqual([
      ['openai', 'completed', 123_000, 10, 812],
      ['openai', 'completed', 123_000, 10, 812],
      ['gemini', 'completed', undefined, 10, 812],
      ['openai', 'failed', undefined, undefined, undefined],
      ['openai', 'completed', 123_000, 10, 812],
      ['openai', 'orphaned', undefined, undefined, undefined],
    ])
    const replies = await Promise.all(calls.map(({ id }) => stele.calls.replyMessage(ada, id)))
    const answers = replies.map(reply => reply && (JSON.parse(reply) as Said).content)
    expect(answers).toEqual(
      expect.arrayContaining(['A language.', 'First answer.', 'Second answer.', 'answered', undefined]),
    )
    const forks = (await rowsOf(stele, 'conversations')).filter(({ parent_id }) => parent_id !== null)
    expect(forks.map(({ parent_seq }) => parent_seq)).toEqual([2, 2])
    expect(
      (await rowsOf(stele, 'usage_daily')).map(row => [
        row.model,
        row.calls,
        row.cost_nanousd,
        row.unpriced_calls,
      ]),
    ).toEqual([
      ['flash', 1, 0, 1],
      ['gpt-4o', 5, 369_000, 2],
    ])
    const [snapshot] = await rowsOf(stele, 'context_snapshots')
    expect(snapshot).toMatchObject({ user_id: ada, up_to_seq: 1 })
    const [user] = await rowsOf(stele, 'users')
    expect(JSON.parse(user?.preferences ?? '')).toMatchObject({
      default_mode: 'compare',
      default_model: 'gpt-4o',
    })
    expect(reasonsOf(report)).toEqual({
      'user_preferences: its user is missing': 1,
      'api_keys: hashes of keys are not imported: Stele makes keys of its own (stele keys create)': 1,
      'llm_responses: its request has another response': 1,
      'llm_responses: its request is missing, and with it its user': 1,
      'llm_requests: its session is of another user': 1,
      'messages: its session is missing, and with it its user': 1,
      'context_snapshots: its session is missing, and with it its user': 1,
      'usage_daily: it differs from the calls of its day, which count': 1,
    })
    const ties = report.notes.find(({ what }) => what.includes('the time of the one before'))
    expect(ties?.count).toBe(2)
    await failure('content_not_kept', stele.calls.exactRequest(ada, calls[0]?.id ?? ''))
    expect(await movedOn(stele, await (await to.place()).stele())).toBe(true)
    const events = (await rowsOf(stele, 'audit_events')).map(({ details }) => details).join()
    expect(events).toContain('"prompt_sha256":"abab')
    expect(events).toContain('"route_mode":"compare"')
  })

  test('an audit log of documents: what was asked for, what came, what failed', async () => {
    const { stele, report } = await imported('bitesoft')
    const userId = 'dr. ☂'
    const calls = await stele.calls.list({ userId })
    const facts = calls.map(({ status, latencyMs, errorMessage }) => [status, latencyMs, errorMessage])
    expect(facts).toEqual(
      expect.arrayContaining([
        ['completed', 1250, undefined],
        ['failed', 1250, 'RateLimitError: ☹'],
      ]),
    )
    const good = calls.find(({ status }) => status === 'completed')
    const { conversationId = '' } = good ?? {}
    const messages = await stele.messages.list({ userId, conversationId })
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant'])
    const events = await rowsOf(stele, 'audit_events')
    expect(events.map(({ action, outcome }) => [action, outcome])).toContainEqual([
      'document.generate',
      'failed',
    ])
    const documents = await stele.documents.list({ userId, order: 'asc' })
    expect(documents).toHaveLength(calls.length)
    const made = documents.find(({ callIds }) => callIds[0] === good?.id)
    expect(made).toMatchObject({
      type: 'treatment_summary',
      version: '1.0',
      status: 'completed',
      model: 'gpt-4o',
      totalTokens: 450,
      output: '{"title": "Your plan 🦷"}',
      endedAt: (made?.createdAt ?? 0) + 1250,
    })
    expect(documents.find(({ status }) => status === 'failed')).toMatchObject({
      input: '{"treatment_type": "clear aligners"}',
      output: undefined,
      errorMessage: 'RateLimitError: ☹',
    })
    const [said] = await stele.conversations.list({ userId })
    expect(said?.metadata).toMatchObject({ document_type: 'treatment_summary' })
    expect(reasonsOf(report)).toEqual({ 'audit_logs: it has no time': 1 })
  })

  test('a router: prompts taken apart, and with the key what is encrypted', async () => {
    const { stele, source, report } = await imported('synthlang')
    const spoken = async (): Promise<string[][]> => {
      const rows = (await rowsOf(stele, 'conversations')).sort((a, b) => a.id.localeCompare(b.id))
      return Promise.all(
        rows.map(async ({ id }) => {
          const messages = await stele.messages.list({ userId: 'ada', conversationId: id })
          return messages.map(({ raw }) => {
            const { role, content } = JSON.parse(raw) as Said
            return `${role}: ${String(content)}`
          })
        }),
      )
    }
    expect(await spoken()).toEqual(
      expect.arrayContaining([
        ['system: Be brief.', 'user: Hi\nthere', 'assistant: Hello!'],
        ['user: Test prompt', 'assistant: ok'],
        ...oddTexts.map(text => [`user: ${text}`, `assistant: ${text}`]),
      ]),
    )
    expect(reasonsOf(report)).toEqual({
      'interactions: encrypted, no key': 1,
      'interactions: its content is not valid UTF-8': 1,
      'interactions: it has no content': 1,
      'interactions: it has no id, or no user': 1,
      'interactions: it has no time': 1,
    })
    expect(
      (await stele.calls.list({ userId: 'ada' })).filter(({ status }) => status === 'cached'),
    ).toHaveLength(1)
    const other = Buffer.alloc(32, 1).toString('base64url')
    await source.insert('interactions', [
      {
        user_id: 'ada',
        prompt_enc: fernetToken('user: x', other),
        response_enc: null,
        timestamp: '2024-03-02',
      },
    ])
    const key = new FernetKey(fernetKey)
    const opened = await importForeign(stele, { ...source.options, as: 'synthlang', key })
    expect(reasonsOf(opened)).toMatchObject({
      'interactions: encrypted, and not with the key that was given': 1,
    })
    expect(opened.imported).toBeGreaterThan(0)
    expect(await spoken()).toContainEqual(['user: secret', 'assistant: hidden'])
  })
}
