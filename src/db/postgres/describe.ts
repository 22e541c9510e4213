import { type Kysely, sql } from 'kysely'
import { reasonOf } from '../../errors.ts'
import type { Finding } from '../database.ts'
import type { Tables } from '../tables.ts'
import { describeGuards, unguardedPartitions } from './guards.ts'

/** Tables, columns, indexes, constraints and triggers of the current schema; monthly partitions follow their parent and are left out. */
export async function describeSchema(db: Kysely<Tables>): Promise<string[]> {
  const columns = await sql<{ line: string }>`
    SELECT format('table %s: %s %s%s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
      CASE WHEN l.collname IS NOT NULL AND l.collname <> 'default' THEN ' COLLATE "' || l.collname || '"' ELSE '' END,
      CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
      coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')) AS line
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname, a.attnum`.execute(db)
  const partitions = await sql<{ line: string }>`
    SELECT format('partitioned %s: %s', c.relname, pg_get_partkeydef(c.oid)) AS line
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'p' ORDER BY c.relname`.execute(db)
  const indexes = await sql<{ line: string }>`
    SELECT 'index ' || replace(pg_get_indexdef(i.indexrelid), current_schema() || '.', '') AS line
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND NOT c.relispartition ORDER BY 1`.execute(db)
  const constraints = await sql<{ line: string }>`
    SELECT format('constraint %s on %s: %s', k.conname, c.relname, pg_get_constraintdef(k.oid)) AS line
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND NOT c.relispartition AND k.contype <> 'n' ORDER BY 1`.execute(db)
  const described = [columns, partitions, indexes, constraints].flatMap(result =>
    result.rows.map(row => row.line),
  )
  return [...described, ...(await describeGuards(db))]
}

/** The oldest major version that Stele's schema can be made on. */
const oldest = 14

/** Any other refuses some of what people write, or takes whatever bytes it is given for text. */
const neededEncoding = 'UTF8'

/** Why a record cannot be kept there; undefined when it can. */
export async function whyUnsuitable(db: Kysely<Tables>): Promise<string | undefined> {
  const { rows } = await sql<ServerFacts>`
    SELECT current_setting('server_version') AS version, current_setting('server_encoding') AS encoding`.execute(
    db,
  )
  return rows[0] && unsuitability(rows[0])
}

interface ServerFacts {
  readonly version: string
  readonly encoding: string
}

/** The same by what the server says of itself. */
export function unsuitability({ version, encoding }: ServerFacts): string | undefined {
  if (Number.parseInt(version, 10) < oldest) return `PostgreSQL ${version} is older than ${oldest}`
  if (encoding !== neededEncoding)
    return `its encoding is ${encoding}, in which not every text can be kept; make another one with ENCODING '${neededEncoding}' TEMPLATE template0`
  return undefined
}

export async function examine(db: Kysely<Tables>): Promise<Finding[]> {
  const setting = async (name: string): Promise<string> => {
    const { rows } = await sql<{ value: string }>`SELECT current_setting(${name}) AS value`.execute(db)
    return rows[0]?.value ?? 'unknown'
  }
  try {
    const version = await setting('server_version')
    const encoding = await setting('server_encoding')
    const fsync = await setting('fsync')
    const synchronousCommit = await setting('synchronous_commit')
    const fullPageWrites = await setting('full_page_writes')
    const readOnly = await setting('default_transaction_read_only')
    const { rows } = await sql<{ schema: string | null }>`SELECT current_schema() AS schema`.execute(db)
    const strays = await strayRows(db)
    const unguarded = await unguardedPartitions(db)
    return [
      { name: 'PostgreSQL version', value: version, ok: Number.parseInt(version, 10) >= oldest },
      { name: 'encoding', value: encoding, ok: encoding === neededEncoding },
      { name: 'schema', value: rows[0]?.schema ?? 'none', ok: rows[0]?.schema != null },
      { name: 'fsync', value: fsync, ok: fsync === 'on' },
      { name: 'full_page_writes', value: fullPageWrites, ok: fullPageWrites === 'on' },
      { name: 'synchronous_commit', value: synchronousCommit, ok: true },
      { name: 'default_transaction_read_only', value: readOnly, ok: readOnly === 'off' },
      { name: 'rows in default partitions', value: String(strays), ok: strays === 0 },
      {
        name: 'partitions without guards',
        value: unguarded.length === 0 ? '0' : unguarded.join(', '),
        ok: unguarded.length === 0,
      },
    ]
  } catch (error) {
    return [{ name: 'connection', value: reasonOf(error), ok: false }]
  }
}

async function strayRows(db: Kysely<Tables>): Promise<number> {
  const defaults = await sql<{ name: string }>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relispartition AND c.relname LIKE '%\\_default'`.execute(db)
  let rows = 0
  for (const { name } of defaults.rows) {
    const { rows: counts } = await sql<{
      count: number
    }>`SELECT count(*) AS count FROM ${sql.table(name)}`.execute(db)
    rows += counts[0]?.count ?? 0
  }
  return rows
}
