import { randomBytes } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { openStele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, reproduced, settle, user } from '../harness/chat.ts'
import { onServer, postgresPlace } from '../harness/databases.ts'
import { ownDatabase } from '../harness/own-database.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

/** What an administrator may have set for other programs, or long ago. */
const settings = {
  array_nulls: 'off',
  bytea_output: 'escape',
  client_encoding: 'LATIN1',
  DateStyle: 'German',
  default_text_search_config: 'pg_catalog.german',
  default_transaction_deferrable: 'on',
  default_transaction_isolation: 'serializable',
  extra_float_digits: '0',
  IntervalStyle: 'sql_standard',
  quote_all_identifiers: 'on',
  standard_conforming_strings: 'off',
  TimeZone: 'Asia/Kolkata',
  transform_null_equals: 'on',
}

test('whatever a database is set to, several processes begin and record in it as in any other', async () => {
  const { url, name } = await ownDatabase()
  for (const [setting, value] of Object.entries(settings))
    await onServer(`ALTER DATABASE ${name} SET ${setting} = '${value}'`)
  const masterKey = randomBytes(32).toString('base64')
  const options = { databaseUrl: url, masterKey, schema: 'odd', poolSize: 1 }
  const opened = await Promise.all([1, 2, 3].map(() => openStele(options)))
  onTestFinished(() => Promise.all(opened.map(stele => stele.close())).then(() => undefined))
  const [stele] = opened
  if (stele === undefined) throw new Error('none was opened')

  const said = (turn: number): string => `it's "${turn}" \\ 語\n`
  await Promise.all(
    Array.from({ length: 30 }, async (_, turn) => {
      const by = opened[turn % opened.length] ?? stele
      const request = chatBody([user(said(turn))])
      const response = completionBody(said(turn))
      const call = await begin(by, request)
      await settle(by, call, completed(response))
      expect(await reproduced(stele, call.callId)).toEqual({ request, response })
    }),
  )
  expect(await countOf(stele, 'llm_responses')).toBe(30)
  expect((await rowsOf(stele, 'usage_daily')).map(({ calls }) => calls)).toEqual([30])
  const { database } = await (await postgresPlace()).stele()
  expect(await stele.database.describeSchema()).toEqual(await database.describeSchema())
  expect((await stele.database.examine()).filter(({ ok }) => !ok)).toEqual([])
  await stele.auditLog.sequence()
  expect(await stele.audit.verify({ contents: true })).toMatchObject({ verified: true, pending: 0 })
})
