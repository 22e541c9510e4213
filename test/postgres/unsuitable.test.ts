import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/db/database.ts'
import { unsuitability } from '../../src/db/postgres/describe.ts'
import { openStele } from '../../src/stele.ts'
import { failure } from '../harness/errors.ts'
import { ownDatabase } from '../harness/own-database.ts'

test.for(['LATIN1', 'SQL_ASCII'])(
  'a database whose encoding is %s is refused before anything is made in it, and the doctor says so',
  async encoding => {
    const { url, name } = await ownDatabase(`TEMPLATE template0 ENCODING '${encoding}' LOCALE 'C'`)
    const masterKey = randomBytes(32).toString('base64')
    const error = await failure('database_unsuitable', openStele({ databaseUrl: url, masterKey }))
    expect(error.message).toContain(name)
    expect(error.message).toContain(`its encoding is ${encoding}`)
    const database = openDatabase(url, {})
    try {
      expect(await database.describeSchema()).toEqual([])
      expect(await database.examine()).toContainEqual({ name: 'encoding', value: encoding, ok: false })
    } finally {
      await database.close()
    }
  },
)

test('a server that is too old is none either', () => {
  const encoding = 'UTF8'
  expect(unsuitability({ version: '13.22', encoding })).toBe('PostgreSQL 13.22 is older than 14')
  for (const version of ['14.0', '18.1', '19beta1'])
    expect(unsuitability({ version, encoding })).toBeUndefined()
})
