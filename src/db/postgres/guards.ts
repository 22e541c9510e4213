import { type Kysely, sql } from 'kysely'
import type { ChangeReason } from '../guards.ts'
import type { GuardStatements } from '../schema-types.ts'
import type { Tables } from '../tables.ts'

/** A setting of the transaction: it ends with it. */
const reasonSetting = 'stele.change_reason'

const refuseFunction = 'stele_refuse_change'

export const permitStatement = `SELECT set_config('${reasonSetting}', $1, true)`

export const guards: GuardStatements = {
  prepare: [
    `CREATE FUNCTION ${refuseFunction}() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        RAISE EXCEPTION 'what is on record in % stays as it is', TG_ARGV[0]
          USING ERRCODE = 'restrict_violation', DETAIL = format('%s is refused.', TG_OP);
      END $$`,
  ],
  make: ({ table, updated, unless, removed }) => [
    trigger(table, 'update', 'UPDATE', [
      ...(unless === undefined ? [] : [`(${unless}) IS NOT TRUE`]),
      ...lacks(updated),
    ]),
    trigger(table, 'delete', 'DELETE', lacks(removed)),
    truncateGuard(table),
    ...guardPartitions(table),
  ],
  remove: table => [
    ...['update', 'delete', 'truncate'].map(name => `DROP TRIGGER ${table}_guard_${name} ON ${table}`),
    ...eachPartition(table, `EXECUTE format('DROP TRIGGER %I ON %I', '${table}_guard_truncate', partition)`),
  ],
  removePrepared: [`DROP FUNCTION ${refuseFunction}()`],
}

function trigger(table: string, name: string, event: string, when: readonly string[]): string {
  const condition = when.length === 0 ? '' : ` WHEN (${when.join(' AND ')})`
  return `CREATE TRIGGER ${table}_guard_${name} BEFORE ${event} ON ${table} FOR EACH ROW${condition} ${refusal(table)}`
}

/** Partitions are refused in the name of their table. */
function refusal(table: string): string {
  return `EXECUTE FUNCTION ${refuseFunction}('${table}')`
}

function lacks(reasons: readonly ChangeReason[]): string[] {
  if (reasons.length === 0) return []
  const list = reasons.map(reason => `'${reason}'`).join(', ')
  return [`coalesce(current_setting('${reasonSetting}', true), '') NOT IN (${list})`]
}

/** Truncating is refused for the whole table, and a partition may be named by itself. */
function truncateGuard(table: string, partition = table): string {
  return `CREATE TRIGGER ${table}_guard_truncate BEFORE TRUNCATE ON ${partition} FOR EACH STATEMENT ${refusal(table)}`
}

/** Guards of rows are passed on to partitions by the server; those of whole tables are not. */
function guardPartitions(table: string): string[] {
  return eachPartition(table, `EXECUTE format($make$${truncateGuard(table, '%I')}$make$, partition)`)
}

function eachPartition(table: string, statement: string): string[] {
  return [
    `DO $$ DECLARE partition name; BEGIN
      FOR partition IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass('${table}') AND c.relispartition LOOP
        ${statement};
      END LOOP;
    END $$`,
  ]
}

/** Guards a partition that was attached just now, where its table is guarded. */
export async function guardPartition(tx: Kysely<Tables>, table: string, partition: string): Promise<void> {
  const { rows } = await sql`
    SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(${table}) AND tgname = ${`${table}_guard_truncate`}`.execute(
    tx,
  )
  if (rows.length > 0) await sql.raw(truncateGuard(table, partition)).execute(tx)
}

/** Partitions that lack a guard of their table, or on which one does not work. */
export async function unguardedPartitions(db: Kysely<Tables>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT p.relname AS name FROM pg_trigger g
    JOIN pg_inherits i ON i.inhparent = g.tgrelid
    JOIN pg_class p ON p.oid = i.inhrelid AND p.relispartition
    JOIN pg_namespace n ON n.oid = p.relnamespace
    WHERE n.nspname = current_schema() AND NOT g.tgisinternal AND g.tgname LIKE '%\\_guard\\_%'
      AND NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = p.oid AND t.tgname = g.tgname AND t.tgenabled IN ('O', 'A'))
    GROUP BY p.relname ORDER BY p.relname`.execute(db)
  return rows.map(({ name }) => name)
}

/** The guards and the function behind them, and whether they work, for comparing schemas. */
export async function describeGuards(db: Kysely<Tables>): Promise<string[]> {
  const triggers = await sql<{ line: string }>`
    SELECT 'trigger ' || replace(pg_get_triggerdef(t.oid), current_schema() || '.', '')
      || CASE t.tgenabled WHEN 'O' THEN '' WHEN 'A' THEN ' (always)' ELSE ' (disabled)' END AS line
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND NOT t.tgisinternal AND NOT c.relispartition ORDER BY 1`.execute(db)
  const functions = await sql<{ line: string }>`
    SELECT format('function %s: %s', p.proname, btrim(regexp_replace(p.prosrc, '\\s+', ' ', 'g'))) AS line
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = current_schema() AND p.prorettype = 'trigger'::regtype ORDER BY 1`.execute(db)
  return [...triggers.rows, ...functions.rows].map(({ line }) => line)
}
