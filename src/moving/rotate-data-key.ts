import { contentColumnsOf, isOfStore, primaryKeys, type TableName, tableNames } from '../db/tables.ts'
import { keyIdOf, modeOf } from '../privacy/sealed-content.ts'
import type { Recorder } from '../recorder/recorder.ts'
import { indexAnew } from '../recorder/search.ts'
import type { Store } from '../store/contents.ts'
import { checkUserId } from '../store/users.ts'
import { countRows, pagesOf } from './pages.ts'

/** Rows that are sealed anew in one transaction: calls wait for it. */
const rowsAtATime = 50

export interface RotationOptions {
  /** Told how many rows were looked at, and how many there are. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/**
 * Gives a user a new data key, seals everything anew with it in small steps while others record, has the search index made
 * anew, and destroys the old key.
 * Broken off, it goes on when it is begun again. @throws SteleError content_unreadable, store_unavailable
 */
export async function rotateDataKey(
  { database, recorder }: { readonly database: Store; readonly recorder: Recorder },
  userId: string,
  { onProgress }: RotationOptions = {},
): Promise<void> {
  checkUserId(userId)
  await recorder.change({ kind: 'edit', edit: { action: 'retire-key', userId, at: Date.now() } })
  const tables = tableNames.filter(table => contentColumnsOf(table).length > 0 && !isOfStore(table))
  let total = 0
  for (const table of tables) total += await countRows(database.kysely, table, { userId })
  let done = 0
  const retired = await retiredIds(database, userId)
  for (const table of tables)
    for await (const page of pagesOf(database.kysely, table, { userId })) {
      const due = page.filter(row => needsSealing(table, row, retired)).map(row => keyOfRow(table, row))
      for (let from = 0; from < due.length; from += rowsAtATime) {
        const keys = due.slice(from, from + rowsAtATime)
        await recorder.change({ kind: 'reseal', userId, table, keys })
      }
      done += page.length
      onProgress?.(done, total)
    }
  // The tokens of the old key end with it.
  await indexAnew(database, recorder, userId)
  // These alone: a run that has begun meanwhile may have retired another, which is in use as long as that run is not done.
  const keyIds = [...retired]
  await recorder.change({ kind: 'edit', edit: { action: 'destroy-retired', userId, keyIds, at: Date.now() } })
  database.contents.ring.forget(userId)
}

async function retiredIds({ kysely }: Store, userId: string): Promise<ReadonlySet<string>> {
  const rows = await kysely
    .selectFrom('data_keys')
    .select('id')
    .where('user_id', '=', userId)
    .where('retired_at', 'is not', null)
    .execute()
  return new Set(rows.map(row => row.id))
}

/** Whether anything of a row is sealed with a key that is to go, or not at all. */
function needsSealing(table: TableName, row: object, retired: ReadonlySet<string>): boolean {
  return contentColumnsOf(table).some(({ name }) => {
    const stored = (row as Readonly<Record<string, unknown>>)[name]
    if (!(stored instanceof Uint8Array) || modeOf(stored) === undefined) return false
    const id = keyIdOf(stored)
    return id === undefined || retired.has(id)
  })
}

function keyOfRow(table: TableName, row: object): Record<string, string | number> {
  const fields = row as Readonly<Record<string, string | number>>
  return Object.fromEntries(primaryKeys[table].map(column => [column, fields[column] ?? '']))
}
