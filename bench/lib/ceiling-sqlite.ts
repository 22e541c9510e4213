import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { CallTemplate, Change } from './call-template.ts'
import {
  type BatchStep,
  type CeilingBatch,
  ceilingBatches,
  columnsOf,
  insertSql,
  timeWrites,
} from './ceiling.ts'
import type { Contender } from './contender.ts'

/**
 * The fastest plain way to make the same rows durable on SQLite: prepared statements on the main thread, two transactions a
 * batch with `synchronous=FULL`, rows built beforehand, no reads, no keys, no hashing, nobody waiting.
 */
export function sqliteCeiling(file: string, template: CallTemplate): Contender {
  const database = new DatabaseSync(file)
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  const statements = new Map<Change, StatementSync>()
  for (const change of [...template.begin, ...template.settle])
    statements.set(change, database.prepare(sqlOf(change)))
  const build = ceilingBatches(template)

  const transaction = (steps: readonly BatchStep[]) => {
    database.exec('BEGIN IMMEDIATE')
    for (const { change, rows } of steps) {
      const statement = statements.get(change)
      for (const row of rows) statement?.run(...row)
    }
    database.exec('COMMIT')
  }
  const write = (batches: readonly CeilingBatch[]) => {
    for (const { begin, settle } of batches) {
      transaction(begin)
      transaction(settle)
    }
  }
  return {
    name: 'ceiling',
    note: 'node:sqlite on the main thread, prepared statements, synchronous=FULL, batch = writers',
    run: (writers, seconds) => {
      const users = Array.from({ length: writers }, (_, i) => `user-${i}`)
      return timeWrites(seconds, writers, count => build(count, writers, users), write)
    },
    close: async () => database.close(),
  }
}

function sqlOf(change: Change): string {
  if (change.kind !== 'update')
    return insertSql(
      change,
      `VALUES (${columnsOf(change)
        .map(() => '?')
        .join(', ')})`,
    )
  const set = change.changed.map(name => `${name} = ?`).join(', ')
  return `UPDATE ${change.table.name} SET ${set} WHERE ${change.table.primaryKey.map(name => `${name} = ?`).join(' AND ')}`
}
