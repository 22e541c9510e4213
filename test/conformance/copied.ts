import { hash } from 'node:crypto'
import type { Database } from '../../src/db/database.ts'
import { recordTables } from '../../src/db/tables.ts'
import type { Stele } from '../../src/stele.ts'
import { user } from '../harness/chat.ts'
import type { Bed, Place } from '../harness/databases.ts'
import { withKeyOf } from '../harness/databases.ts'
import { storedRowsOf } from '../harness/rows.ts'

/** A database to copy and an empty one to copy it into, with one key. */
export async function placesOf(from: Bed, to: Bed): Promise<{ source: Place; target: Place }> {
  const source = await from.place()
  return { source, target: withKeyOf(await to.place(), source) }
}

/** Every row of every table, each as a hash that is the same on every database. */
export async function everything(database: Database): Promise<Record<string, string[]>> {
  const tables: Record<string, string[]> = {}
  for (const table of recordTables) {
    // A source that is open says now and then that its process lives; the copy's own check is of one moment.
    const rows = (await storedRowsOf(database, table)).map(row =>
      'heartbeat_at' in row ? { ...row, heartbeat_at: 0, open_since: '' } : row,
    )
    tables[table] = rows.map(row => hash('sha256', Object.values(row).map(plain).join('\n'))).sort()
  }
  return tables
}

function plain(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : JSON.stringify(value)
}

/** Calls of seven users, two messages each. */
export async function fill(stele: Stele, calls: number, subject = 'question'): Promise<void> {
  await Promise.all(
    Array.from({ length: calls }, (_, index) =>
      stele.saveInteraction({
        userId: `user-${index % 7}`,
        model: 'm',
        messages: [user(`${subject} ${index}`)],
        responseText: `answer ${index}`,
      }),
    ),
  )
}

/** Whether the copy into this database is unfinished. */
export async function hasMark(database: Database): Promise<boolean> {
  return database.hasTable(database.kysely, 'stele_copy')
}
