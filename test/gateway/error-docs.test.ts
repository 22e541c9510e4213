import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { errorTable } from '../../src/errors.ts'

/** The cells of the rows of the table in docs/errors.md. */
function documentedRows(): string[][] {
  const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
  const rows = text.split('\n').filter(line => line.startsWith('|'))
  return rows.map(line =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map(cell => cell.trim().replaceAll('\\|', '|')),
  )
}

test('the documented errors are the rows of the table, in its order and words', () => {
  const [head, , ...rows] = documentedRows()
  expect(head).toEqual(['code', 'status', 'retryable', 'message'])
  const expected = Object.entries(errorTable).map(([code, { status, retryable, message }]) => [
    `\`${code}\``,
    String(status),
    retryable ? 'yes' : 'no',
    message.replaceAll('\n', ' '),
  ])
  expect(rows).toEqual(expected)
})

test('what may succeed later without a change says so in its status', () => {
  for (const [code, { status, retryable }] of Object.entries(errorTable)) {
    // What OpenAI's clients repeat by themselves.
    const isRepeated = status === 408 || status === 409 || status === 429 || status >= 500
    if (retryable) expect({ code, isRepeated }).toEqual({ code, isRepeated: true })
  }
})
