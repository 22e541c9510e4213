import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const source = fileURLToPath(new URL('../../src/', import.meta.url))

/** The two files that write events, each with what the log is to take of them. */
const writers = ['store/audit-events.ts', 'store/audit-queue.ts']

/** A batch that seals what it writes gives events to one of them; no other batch may be given any. */
const sealed = /\bbatch\.insert\(\s*'audit_events'/g

const writing = [
  /insertInto\(\s*['"`]audit_events/,
  /\.insert(?:Absent|OrAdd)?\(\s*['"`]audit_events/,
  /INSERT\s+(?:OR\s+\w+\s+)?INTO\s+audit_events/i,
  /(?:updateTable|deleteFrom)\(\s*['"`]audit_events/,
]

test('no event is written but by what queues it for the log', () => {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(file =>
    file.endsWith('.ts'),
  )
  expect(files.length).toBeGreaterThan(100)
  const others = files.filter(file => {
    if (writers.includes(file) || file.startsWith('db/migrations/')) return false
    const text = readFileSync(join(source, file), 'utf8').replace(sealed, '')
    return writing.some(pattern => pattern.test(text))
  })
  expect(others).toEqual([])
  for (const file of writers) expect(readFileSync(join(source, file), 'utf8')).toContain('queueRow(')
  const stored = files.filter(file => /:\s*StoredBatch\b/.test(readFileSync(join(source, file), 'utf8')))
  // Where a batch is one of rows as they are stored, it is not called as those that seal are.
  for (const file of stored)
    if (!writers.includes(file))
      expect(readFileSync(join(source, file), 'utf8').match(sealed)?.length ?? 0, file).toBe(0)
})
