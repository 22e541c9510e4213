import { readFile } from 'node:fs/promises'
import type { Database, Finding } from '../db/database.ts'
import { packageRoot } from './package-root.ts'

export interface Drift {
  readonly finding: Finding
  readonly lines: readonly string[]
}

/** Compares the live schema with the committed one. */
export async function schemaDrift(database: Database): Promise<Drift> {
  const name = 'tables'
  const file = new URL(`schema/${database.schemaTypes.name}.txt`, packageRoot)
  const expected = await readFile(file, 'utf8').catch(() => undefined)
  if (expected === undefined) {
    return {
      finding: {
        name,
        value: `the expected schema (schema/${database.schemaTypes.name}.txt) is missing here`,
        ok: false,
      },
      lines: [],
    }
  }
  const lines = difference(
    expected.split('\n').filter(line => line.trim() !== ''),
    await database.describeSchema(),
  )
  const value = lines.length === 0 ? 'as expected' : `differs in ${lines.length} lines`
  return { finding: { name, value, ok: lines.length === 0 }, lines }
}

/** `- ` before lines that are expected and missing, `+ ` before those that are there and unexpected. */
export function difference(expected: readonly string[], live: readonly string[]): string[] {
  const isLive = new Set(live)
  const isExpected = new Set(expected)
  return [
    ...expected.filter(line => !isLive.has(line)).map(line => `- ${line}`),
    ...live.filter(line => !isExpected.has(line)).map(line => `+ ${line}`),
  ].sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1))
}
