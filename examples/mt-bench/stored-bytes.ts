import { contentColumnsOf, type TableName } from '../../src/db/tables.ts'
import { decodeContent, isAbsent } from '../../src/privacy/content.ts'
import type { Stele } from '../../src/stele.ts'

const tables = ['messages', 'llm_requests', 'llm_responses'] as const satisfies readonly TableName[]

/** Bytes of all that a user said and was told: as it is stored, and as plain text. */
export async function contentBytes(
  { database: { kysely, contents } }: Stele,
  userId: string,
): Promise<{ stored: number; plain: number }> {
  let stored = 0
  let plain = 0
  for (const table of tables) {
    const columns = contentColumnsOf(table)
    const rows = await kysely.selectFrom(table).selectAll().where('user_id', '=', userId).execute()
    const opened = await contents.open(kysely, table, rows)
    for (const [index, row] of rows.entries())
      for (const { name } of columns) {
        stored += sizeOf((row as Record<string, unknown>)[name])
        plain += textSizeOf((opened[index] as Record<string, unknown> | undefined)?.[name])
      }
  }
  return { stored, plain }
}

function sizeOf(value: unknown): number {
  return value instanceof Uint8Array ? value.byteLength : 0
}

function textSizeOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  return value instanceof Uint8Array && !isAbsent(value) ? decodeContent(value).byteLength : 0
}
