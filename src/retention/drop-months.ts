import { type Kysely, sql } from 'kysely'
import { addLeavingBetween } from '../analytics/roll-up.ts'
import type { Database, StorageMonth } from '../db/database.ts'
import type { TableName, Tables } from '../db/tables.ts'
import { lowestIdAt } from '../ids.ts'
import { groupOf, type PolicyRow, type RetentionDefaults } from './periods.ts'
import type { Key } from './read-facts.ts'
import { Tallies, type Tally } from './tally.ts'

export interface MonthsDropped {
  readonly dropped: readonly StorageMonth[]
  /** Those that somebody worked with: they are left as they are for the next run. */
  readonly busy: readonly StorageMonth[]
  readonly tallies: readonly Tally[]
}

export interface DropOptions {
  readonly defaults: RetentionDefaults
  readonly now: number
  /** What was made before has expired for every user; 0 when nothing has for some. */
  readonly before: number
  /** Takes conversations away as any other, and what others rely on with them. */
  readonly removeConversations: (keys: readonly Key[]) => Promise<void>
  /** Puts on record that things go, in the transaction in which a month does; and is told that it has gone. */
  readonly note: (tx: Kysely<Tables>) => Promise<void>
  readonly onDropped: () => void
}

/** How often a month that somebody works with is tried, and the pause between two tries in milliseconds. */
const tries = 3
const pause = 200

const parentsAtATime = 200

/**
 * Gives up whole months, where the database can, instead of removing their rows one by one: those in which everything has
 * expired for every user. Only then is a month worth so much trouble; what expires earlier for some goes row by row.
 */
export async function dropMonths(database: Database, options: DropOptions): Promise<MonthsDropped> {
  const { before, now } = options
  const dropped: StorageMonth[] = []
  const busy: StorageMonth[] = []
  const tallies = new Tallies()
  const months = before === 0 ? [] : await database.storageMonths(before, now)
  for (const month of months) {
    const isExpired = (db: Kysely<Tables>): Promise<boolean> => hasExpired(db, month, before)
    if (!(await isExpired(database.kysely))) continue
    if (month.tables.includes('messages')) await removeParents(database, month, options)
    let counted: Tally[] = []
    const outcome = await persistently(() =>
      database.dropMonth(month, async tx => {
        if (!(await isExpired(tx)) || (await hasForks(tx, month))) return false
        counted = await countMonth(tx, month, options.defaults)
        if (month.tables.includes('llm_requests')) {
          const ids = { from: lowestIdAt('call', month.from), to: lowestIdAt('call', month.to) }
          await addLeavingBetween(tx, database.forUpdate, ids)
          await removeBeside(tx, month)
        }
        await options.note(tx)
        return true
      }),
    )
    if (outcome === 'busy') busy.push(month)
    if (outcome !== 'dropped') continue
    dropped.push(month)
    options.onDropped()
    tallies.addAll(counted)
  }
  return { dropped, busy, tallies: tallies.list }
}

/** Whether an id is of a month of this table that is among those given. */
export function isInMonths(
  months: readonly StorageMonth[],
  table: 'messages' | 'llm_requests',
): (id: string) => boolean {
  const kind = table === 'messages' ? 'conversation' : 'call'
  const ranges = months
    .filter(({ tables }) => tables.includes(table))
    .map(({ from, to }) => [lowestIdAt(kind, from), lowestIdAt(kind, to)] as const)
  return id => ranges.some(([low, high]) => id >= low && id < high)
}

/** As `llm_requests 2026-01`. */
export function monthNames(months: readonly StorageMonth[]): string[] {
  return months.flatMap(({ tables, name }) => tables.map(table => `${table} ${name}`))
}

async function persistently(attempt: () => ReturnType<Database['dropMonth']>) {
  for (let count = 1; ; count++) {
    const outcome = await attempt()
    if (outcome !== 'busy' || count >= tries) return outcome
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}

/** Whether every row of a month goes. Its ids say when it was made; what counts are the times in the rows. */
async function hasExpired(db: Kysely<Tables>, month: StorageMonth, before: number): Promise<boolean> {
  const { from, to, tables } = month
  const isAny = async (query: ReturnType<typeof sql>): Promise<boolean> =>
    (await sql`SELECT 1 WHERE EXISTS (${query})`.execute(db)).rows.length > 0
  if (tables.includes('messages')) {
    const [low, high] = [lowestIdAt('conversation', from), lowestIdAt('conversation', to)]
    // A call that is still under way keeps its conversation; so does one that is younger.
    const kept = [
      sql`SELECT 1 FROM messages WHERE conversation_id >= ${low} AND conversation_id < ${high} AND created_at >= ${before}`,
      sql`SELECT 1 FROM conversations WHERE id >= ${low} AND id < ${high} AND (created_at >= ${before} OR updated_at >= ${before})`,
      sql`SELECT 1 FROM llm_requests q WHERE q.conversation_id >= ${low} AND q.conversation_id < ${high} AND (q.created_at >= ${before}
        OR NOT EXISTS (SELECT 1 FROM llm_responses s WHERE s.request_id = q.id AND s.user_id = q.user_id))`,
    ]
    for (const query of kept) if (await isAny(query)) return false
    return true
  }
  const [low, high] = [lowestIdAt('call', from), lowestIdAt('call', to)]
  return !(await isAny(sql`
    SELECT 1 FROM llm_requests q WHERE q.id >= ${low} AND q.id < ${high} AND (q.created_at >= ${before}
      OR NOT EXISTS (SELECT 1 FROM llm_responses s WHERE s.request_id = q.id AND s.request_id >= ${low} AND s.request_id < ${high} AND s.user_id = q.user_id))`))
}

/** Conversations of which forks share messages go one by one: what builds on them must hear of it. */
async function removeParents(
  { kysely }: Database,
  { from, to }: StorageMonth,
  { removeConversations }: DropOptions,
): Promise<void> {
  for (let after: string | undefined; ; ) {
    const rows: { parent_id: string | null; user_id: string }[] = await kysely
      .selectFrom('conversations')
      .select(['parent_id', 'user_id'])
      .distinct()
      .where('parent_id', after === undefined ? '>=' : '>', after ?? lowestIdAt('conversation', from))
      .where('parent_id', '<', lowestIdAt('conversation', to))
      .orderBy('parent_id')
      .limit(parentsAtATime)
      .execute()
    if (rows.length === 0) return
    await removeConversations(rows.map(({ parent_id, user_id }) => ({ id: parent_id ?? '', user_id })))
    after = rows.at(-1)?.parent_id ?? undefined
  }
}

/** A fork of a call that is under way holds what it shares. */
async function hasForks(db: Kysely<Tables>, { tables, from, to }: StorageMonth): Promise<boolean> {
  if (!tables.includes('messages')) return false
  const fork = await db
    .selectFrom('conversations')
    .select('id')
    .where('parent_id', '>=', lowestIdAt('conversation', from))
    .where('parent_id', '<', lowestIdAt('conversation', to))
    .limit(1)
    .executeTakeFirst()
  return fork !== undefined
}

/** What stands beside calls. Responses and documents are named by their first calls, so they are of the same month. */
async function removeBeside(db: Kysely<Tables>, { from, to }: StorageMonth): Promise<void> {
  await db
    .deleteFrom('responses')
    .where('id', '>=', lowestIdAt('response', from))
    .where('id', '<', lowestIdAt('response', to))
    .execute()
  await db
    .deleteFrom('documents')
    .where('id', '>=', lowestIdAt('document', from))
    .where('id', '<', lowestIdAt('document', to))
    .execute()
  for (const table of ['stored_completions', 'cache_entries'] as const)
    await db
      .deleteFrom(table)
      .where('call_id', '>=', lowestIdAt('call', from))
      .where('call_id', '<', lowestIdAt('call', to))
      .execute()
}

async function countMonth(
  db: Kysely<Tables>,
  { tables, from, to }: StorageMonth,
  defaults: RetentionDefaults,
): Promise<Tally[]> {
  const tallies = new Tallies()
  const count = async (
    kind: 'messages' | 'calls',
    table: TableName,
    column: string,
    columns: readonly string[],
    isCounted: boolean,
  ): Promise<void> => {
    const idKind = kind === 'messages' ? 'conversation' : 'call'
    const sizes = columns.map(
      name =>
        sql`CASE WHEN octet_length(${sql.ref(`t.${name}`)}) > 1 THEN octet_length(${sql.ref(`t.${name}`)}) ELSE 0 END`,
    )
    const { rows } = await sql<
      Omit<PolicyRow, 'user_id'> & { user_id: string | null; rows: number; bytes: number }
    >`
      SELECT min(p.user_id) AS user_id, p.content_days, p.metadata_days, p.inactive_days, count(*) AS rows,
        coalesce(sum(${sql.join(sizes, sql` + `)}), 0) AS bytes
      FROM ${sql.table(table)} t LEFT JOIN retention_policies p ON p.user_id = t.user_id
      WHERE ${sql.ref(`t.${column}`)} >= ${lowestIdAt(idKind, from)} AND ${sql.ref(`t.${column}`)} < ${lowestIdAt(idKind, to)}
      GROUP BY p.user_id IS NULL, p.content_days, p.metadata_days, p.inactive_days`.execute(db)
    for (const { user_id, rows: all, bytes, ...periods } of rows) {
      const group = groupOf(defaults, user_id === null ? undefined : { user_id, ...periods })
      tallies.add({ group, reason: 'metadata', kind, rows: isCounted ? all : 0, bytes })
    }
  }
  if (tables.includes('messages'))
    await count('messages', 'messages', 'conversation_id', ['content', 'echo'], true)
  else {
    await count('calls', 'llm_requests', 'id', ['params', 'body', 'sent'], true)
    await count('calls', 'llm_responses', 'request_id', ['body'], false)
  }
  return tallies.list
}
