import { expect, test } from 'vitest'
import { columnsOf, type TableName } from '../../src/db/tables.ts'
import { afterErasure } from '../../src/erasure/plan.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { factOf, liveEverywhere, secretOf } from '../harness/lives.ts'

type Line = Readonly<Record<string, unknown>>

async function exportedOf({ database }: Stele, userId: string): Promise<{ text: string; lines: Line[] }> {
  let text = ''
  await exportLines(
    database,
    async part => {
      text += part
    },
    { userId },
  )
  return {
    text,
    lines: text
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Line),
  }
}

/** The type of the lines that tell of a table; `held` where it has none of its own. */
const lineTypes: { readonly [T in TableName]?: string } = {
  users: 'user',
  conversations: 'conversation',
  messages: 'message',
  llm_requests: 'call',
  llm_responses: 'call',
  responses: 'response',
  documents: 'document',
  stored_completions: 'stored_completion',
  context_snapshots: 'context_snapshot',
  audit_events: 'audit_event',
  audit_details: 'audit_event',
}

const ofCredential = 'what lets somebody in is told to nobody'
const ofHash = 'a keyed hash of what the export has in plain words'
const ofReservation = 'what was held back against limits until the call ended, by its length'
const ofLine = 'in the line as request, message or echo, put together'

/** Columns that an export of a user leaves out, and why. */
const leftOut: Readonly<Record<string, string>> = {
  'api_keys.key_hash': ofCredential,
  'api_keys.previous_hash': ofCredential,
  'user_passwords.hash': ofCredential,
  'login_sessions.token_hash': ofCredential,
  'data_keys.wrapped_key': ofCredential,
  'idempotency_keys.key_hash': ofHash,
  'idempotency_keys.request_hash': ofHash,
  'cache_entries.entry_hash': ofHash,
  'cache_entries.context_hash': ofHash,
  'cache_entries.bytes': 'how large the two below are',
  'cache_entries.response': 'the reply of its call, which has its line',
  'cache_entries.embedding': 'what a model made of a message, which has its line',
  'messages.chain_hash': ofHash,
  'messages.wire_hash': ofHash,
  'messages.is_anchor': 'where the index of hashes has an entry',
  'messages.content': ofLine,
  'messages.echo_from': ofLine,
  'llm_requests.prompt_hash': ofHash,
  'llm_requests.params': ofLine,
  'llm_requests.body': ofLine,
  'llm_requests.messages_at': ofLine,
  'llm_requests.separator': ofLine,
  'llm_requests.instance_id': 'which process made the call, not who',
  'llm_requests.reserved_tokens': ofReservation,
  'llm_requests.reserved_nanousd': ofReservation,
  'documents.instance_id': 'which process made the document, not who',
  'llm_responses.request_id': 'the id of the call, in its line',
  'llm_responses.content_at': ofLine,
  'llm_responses.user_id': 'in the line of its call',
  'audit_details.event_id': 'the id of the event, in its line',
}

/** Tables of which an export of a user has nothing, and why. */
const tablesLeftOut: Readonly<Record<string, string>> = {
  audit_log: 'where in their log audit events stand, which have lines of their own',
  login_attempts: 'counts of failures to log in, until the next that succeeds',
  usage_rollups: 'sums of the calls, which have lines of their own, as usage_daily has, which is told',
  usage_conversations: 'the same by conversation',
  usage_pending: 'which of the calls are not summed up yet',
  search_queue: 'which of the messages wait for the index',
  search_progress: 'how far the index has come',
}

export function heldSuite(bed: Bed): void {
  test('an export of a user has every column of every table that holds rows of users, or says why not', async () => {
    const stele = await (await bed.place()).stele()
    await liveEverywhere(stele, 'ada')
    await liveEverywhere(stele, 'bob')
    const { text, lines } = await exportedOf(stele, 'ada')
    expect(text).not.toContain(secretOf('bob'))
    expect(text).not.toContain(factOf('bob'))
    // Neither told nor excused, or both.
    const missing: string[] = []
    const tables = Object.entries(afterErasure).filter(([, fate]) => fate !== 'none')
    for (const [table] of tables as [TableName, string][]) {
      if (tablesLeftOut[table]) continue
      const type = lineTypes[table]
      const told =
        type === undefined
          ? lines.filter(line => line['type'] === 'held' && line['table'] === table).map(line => line['row'])
          : lines.filter(line => line['type'] === type)
      expect(told.length, table).toBeGreaterThan(0)
      // A call's line holds its response.
      const names = new Set(
        told.flatMap(line => namesIn(table === 'llm_responses' ? (line as Line)['response'] : line)),
      )
      for (const column of columnsOf(table)) {
        const isTold = names.has(column) || (column === 'user_id' && type === undefined)
        if (isTold === (leftOut[`${table}.${column}`] !== undefined)) missing.push(`${table}.${column}`)
      }
    }
    expect(missing).toEqual([])
  })

  test('it has everything that was said and what somebody is called, and no credential', async () => {
    const stele = await (await bed.place()).stele()
    const { keySecret } = await liveEverywhere(stele, 'ada')
    const { text } = await exportedOf(stele, 'ada')
    for (const word of ['asked', 'told', 'appended', 'in short', 'again', 'waits'])
      expect(text, word).toContain(`${secretOf('ada')} ${word}`)
    expect(text).toContain(`${factOf('ada')}@example.org`)
    expect(text).toContain(`the laptop of ${factOf('ada')}`)
    expect(text).not.toContain(keySecret)
    for (const credential of ['a hash', 'token-of-ada', 'hash-of-ada']) expect(text).not.toContain(credential)
  })

  test('an import passes over what else is held', async () => {
    const stele = await (await bed.place()).stele()
    await exchange(stele, [user('question')], 'answer', { userId: 'ada' })
    await stele.users.update('ada', { email: 'ada@example.org' })
    await stele.apiKeys.create({ userId: 'ada' })
    const { text } = await exportedOf(stele, 'ada')
    const target = await (await bed.place()).stele()
    async function* bytes() {
      yield Buffer.from(text)
    }
    const report = await importLines(target.database, target.hashes, bytes())
    expect(report).toMatchObject({ present: 0, refused: 0 })
    expect(await target.apiKeys.list()).toEqual([])
    expect((await target.users.get('ada'))?.email).toBe('ada@example.org')
  })
}

function namesIn(value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : []
}
