import type { Batch } from '../db/batch.ts'
import { contentColumnsOf, primaryKeys } from '../db/tables.ts'
import { modeOf } from '../privacy/sealed-content.ts'
import type { OperationResult, ResealOperation } from './operations.ts'

type Fields = Readonly<Record<string, unknown>>

/**
 * Seals the content of some rows anew, with their user's current key and as it was kept before. Rows that are gone, and
 * digests, which have nothing to be sealed, stay as they are.
 */
export async function applyReseal(batch: Batch, { table, keys }: ResealOperation): Promise<OperationResult> {
  const key = primaryKeys[table]
  const columns = contentColumnsOf(table).map(({ name }) => name)
  const all = [...new Set([...key, ...columns])]
  const rows = (await batch.stored.find(table, key as never, keys as never, all as never, {
    lock: true,
  })) as Fields[]
  const opened = (await batch.find(table, key as never, keys as never, all as never)) as Fields[]
  const nameOf = (row: Fields): string => JSON.stringify(key.map(column => row[column]))
  const readable = new Map(opened.map(row => [nameOf(row), row]))
  await batch.stored.permit('rotation')
  for (const column of columns) {
    const updates = rows.flatMap(row => {
      const stored = row[column]
      const contentMode = stored instanceof Uint8Array ? modeOf(stored) : undefined
      if (contentMode === undefined || contentMode === 'hashed') return []
      return [{ set: { [column]: readable.get(nameOf(row))?.[column] ?? null }, match: row, contentMode }]
    })
    await batch.update(table, [column] as never, key as never, updates as never)
  }
  return { conversationId: undefined, isRepeat: false }
}
