import { expect, test } from 'vitest'
import { tables } from '../../src/db/definitions.ts'
import { type ColumnName, derivedTables, kindOf, type TableName, tableNames } from '../../src/db/tables.ts'
import { describe } from '../../src/recorder/refusal.ts'
import { plainColumns } from './plain-columns.ts'

/** Every column that is not encrypted is told of in docs/plaintext.md, and nothing else is. */

const contentKinds = ['content', 'contentText']

const plain = tableNames.flatMap(table =>
  Object.entries<{ kind: string }>(tables[table])
    .filter(
      ([column, { kind }]) =>
        !contentKinds.includes(kind) && kindOf(table, column as ColumnName<TableName>) !== 'integer',
    )
    .map(([column]) => `${table}.${column}`),
)

test('docs/plaintext.md names every column of words that is not encrypted, once', () => {
  const { others, own } = plainColumns()
  const named = [...others, ...own].filter(
    column => !derivedTables.some(table => column.startsWith(`${table}.`)),
  )
  expect(named.sort()).toEqual(plain.sort())
})

const secret = 'a planted secret'

const quoting: Record<string, () => unknown> = {
  'a parser': () => JSON.parse(secret),
  'a check of an argument': () => Buffer.from(secret, secret as BufferEncoding),
  'a database': () => {
    throw Object.assign(new Error(`invalid input syntax: "${secret}"`), {
      name: 'error',
      code: '22P02',
      detail: secret,
    })
  },
  'whatever is no error': () => {
    throw secret
  },
}

test.for(Object.entries(quoting))('why a record is set aside is kept without what %s quotes', ([, raise]) => {
  let raised: unknown
  try {
    raise()
  } catch (error) {
    raised = error
  }
  expect(String(raised)).toContain(secret)
  expect(describe(raised)).toMatchObject({ code: 'record_rejected' })
  expect(JSON.stringify(describe(raised))).not.toContain(secret)
})
