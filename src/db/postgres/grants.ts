import { gatewayRights, type Rights } from '../rights.ts'
import { derivedTables } from '../tables.ts'
import { partitionedTableNames } from './partitions.ts'

/** Tables beside the record that a gateway writes as it likes. */
const everything: Rights = { update: 'all', remove: true }

/**
 * Statements that leave a role with the rights of a gateway and no others: it owns nothing, defines nothing, and so cannot
 * take a guard away. To be run by the owner of the tables, and again after every migration.
 */
export function grantStatements(role: string, schema: string): string[] {
  const to = quoted(role)
  const of = (table: string): string => `${quoted(schema)}.${quoted(table)}`
  const tables: [string, Rights][] = [
    ...Object.entries<Rights>(gatewayRights),
    ...derivedTables.map((table): [string, Rights] => [table, everything]),
  ]
  const grants = tables.flatMap(([table, rights]) => [
    `GRANT ${verbsOf(rights).join(', ')} ON ${of(table)} TO ${to};`,
  ])
  return [
    'BEGIN;',
    // Servers before version 15 let everybody make tables in the schema "public".
    `REVOKE CREATE ON SCHEMA ${quoted(schema)} FROM PUBLIC;`,
    `REVOKE ALL ON SCHEMA ${quoted(schema)} FROM ${to};`,
    `REVOKE ALL ON ALL TABLES IN SCHEMA ${quoted(schema)} FROM ${to};`,
    `GRANT USAGE ON SCHEMA ${quoted(schema)} TO ${to};`,
    `GRANT SELECT ON ${of('stele_migrations')} TO ${to};`,
    ...grants,
    // Counted by stele doctor; what is read and written otherwise goes through the table they are part of.
    `GRANT SELECT ON ${partitionedTableNames.map(table => of(`${table}_default`)).join(', ')} TO ${to};`,
    // Destroyed keys are cleaned out of the table's storage, for which servers from version 17 on know a right.
    "DO $$ BEGIN IF current_setting('server_version_num')::int >= 170000 THEN",
    `  EXECUTE ${literal(`GRANT MAINTAIN ON ${of('data_keys')} TO ${to}`)};`,
    'END IF; END $$;',
    'COMMIT;',
  ]
}

function verbsOf({ update, remove }: Rights): string[] {
  return [
    'SELECT',
    'INSERT',
    ...(update === undefined ? [] : [update === 'all' ? 'UPDATE' : `UPDATE (${update.join(', ')})`]),
    ...(remove === true ? ['DELETE'] : []),
  ]
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
