import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { contentColumnsOf, type TableName, tableNames, userColumnOf } from '../../src/db/tables.ts'
import { exportLines } from '../../src/moving/export.ts'
import type { Stele } from '../../src/stele.ts'
import { rowsOf } from '../harness/rows.ts'
import type { Kind } from './markers.ts'
import { plainColumns } from './plain-columns.ts'
import type { BytesSearch, Finding } from './search-bytes.ts'

type Kinds = readonly (Kind | 'unknown')[]

/** What was found and may not be there. */
export const beyond = (findings: readonly Finding[], allowed: Kinds): Finding[] =>
  findings.filter(({ kind }) => !allowed.includes(kind))

/** Every file below a folder, with a path that begins at it. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
}

/** What stands in files. Those that go while one looks hold nothing any more. */
export function inFiles(search: BytesSearch, paths: readonly string[]): Finding[] {
  return paths.flatMap(path => search.inFile(path, bytesOf(path)))
}

function bytesOf(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
}

/**
 * What stands in rows and may not: content in columns of content alone, and only of whoever has it kept plain; words of others
 * where docs/plaintext.md says so.
 */
export async function leaksInRows(
  { database: { kysely } }: Stele,
  search: BytesSearch,
  { tables, plainUser }: { tables: readonly string[]; plainUser: string },
): Promise<Finding[]> {
  const { others } = plainColumns()
  const leaks: Finding[] = []
  for (const table of tables) {
    const { rows } = await sql<Record<string, unknown>>`SELECT * FROM ${sql.table(table)}`.execute(kysely)
    const isKnown = (tableNames as readonly string[]).includes(table)
    const content = isKnown ? contentColumnsOf(table as TableName).map(({ name }) => name) : []
    const isPlain = (row: Record<string, unknown>): boolean =>
      isKnown && row[userColumnOf(table as TableName)] === plainUser
    for (const column of Object.keys(rows[0] ?? {})) {
      const where = `${table}.${column}`
      const words: Kinds = others.has(where) ? ['label', 'model'] : []
      const mayBePlain = content.includes(column) ? rows.filter(isPlain) : []
      const mayNot = content.includes(column) ? rows.filter(row => !isPlain(row)) : rows
      const valuesOf = (of: typeof rows) =>
        search.inValues(
          where,
          of.map(row => row[column]),
        )
      leaks.push(
        ...beyond(valuesOf(mayNot), words),
        ...beyond(valuesOf(mayBePlain), ['plain', 'label', 'model']),
      )
    }
  }
  return leaks
}

/** Everything that whoever has the keys can read. */
export async function readable(stele: Stele, search: BytesSearch): Promise<Finding[]> {
  const found: Finding[][] = []
  for (const table of tableNames) {
    const rows = await rowsOf(stele, table)
    for (const column of Object.keys(rows[0] ?? {}))
      found.push(
        search.inValues(
          `opened ${table}.${column}`,
          rows.map(row => (row as Record<string, unknown>)[column]),
        ),
      )
  }
  return found.flat()
}

/** Everything in an export. */
export async function exported({ database }: Stele, search: BytesSearch): Promise<Finding[]> {
  const lines: string[] = []
  await exportLines(database, async line => void lines.push(line), { withKeys: true })
  return search.inFile('export', Buffer.from(lines.join('')))
}
