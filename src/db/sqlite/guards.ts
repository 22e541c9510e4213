import type { DatabaseSync } from 'node:sqlite'
import type { ChangeReason, Guard } from '../guards.ts'
import type { GuardStatements } from '../schema-types.ts'

/**
 * The functions that guards ask. They are of the connection, not of the file: a program that opens the file without them
 * can read and add, and is refused whatever would change a row.
 */
const reasonFunction = 'stele_change_reason'
const permitFunction = 'stele_permit_change'

export const permitStatement = `SELECT ${permitFunction}(?)`

/** The reason that the transaction under way on a connection has given. */
export class GivenReason {
  #reason: string | null = null

  /** Makes the functions known to a connection. */
  install(database: DatabaseSync): void {
    database.function(reasonFunction, () => this.#reason)
    database.function(permitFunction, reason => {
      this.#reason = String(reason)
      return null
    })
  }

  /** With the transaction the permission ends. */
  forget(): void {
    this.#reason = null
  }
}

export const guards: GuardStatements = {
  // The functions come with the connection.
  prepare: [],
  make: ({ table, keys, updated, unless, removed }) => [
    trigger(table, 'update', 'UPDATE', [
      ...(unless === undefined ? [] : [`(${unless}) IS NOT TRUE`]),
      ...lacks(updated),
    ]),
    trigger(table, 'delete', 'DELETE', lacks(removed)),
    // A row that takes the place of another (INSERT OR REPLACE) removes it without asking who guards removals.
    trigger(table, 'replace', 'INSERT', [
      keys.map(key => `EXISTS (SELECT 1 FROM ${table} WHERE ${sameBy(key)})`).join(' OR '),
    ]),
  ],
  remove: table => ['update', 'delete', 'replace'].map(name => `DROP TRIGGER ${table}_guard_${name}`),
  removePrepared: [],
}

function trigger(table: Guard['table'], name: string, event: string, when: readonly string[]): string {
  const condition = when.length === 0 ? '' : ` WHEN ${when.join(' AND ')}`
  return (
    `CREATE TRIGGER ${table}_guard_${name} BEFORE ${event} ON ${table}${condition} ` +
    `BEGIN SELECT RAISE(ABORT, 'what is on record in ${table} stays as it is'); END`
  )
}

function sameBy(key: readonly string[]): string {
  return key.map(column => `${column} = NEW.${column}`).join(' AND ')
}

function lacks(reasons: readonly ChangeReason[]): string[] {
  if (reasons.length === 0) return []
  return [`coalesce(${reasonFunction}(), '') NOT IN (${reasons.map(reason => `'${reason}'`).join(', ')})`]
}
