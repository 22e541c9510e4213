import { expect, test } from 'vitest'
import { responseStore } from '../../src/store/responses.ts'
import { expectResponse } from '../gateway/responding.ts'
import { startGateway } from '../gateway/running.ts'
import { json, startUpstream } from '../gateway/upstream.ts'
import { completion } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'

test('a response that is made while the database is away is on record afterwards, and can be continued', async () => {
  const link = await linkToPostgres()
  const upstream = await startUpstream(
    json(completion('made in the dark')),
    json({ error: { message: 'no', type: 'x', param: null, code: 'no' } }, { status: 400 }),
    json(completion('and on')),
  )
  const place = await postgresPlace()
  const store = { poolTimeout: 2, commitTimeout: 1, databaseUrl: link.databaseUrl }
  const running = await startGateway({ upstream, place, store })
  const witness = await place.stele()
  const { responses, models } = running.client()
  await running.stele.recorder.start()
  // So that its key is known to be good.
  await models.list()
  link.cut()
  const made = expectResponse(await responses.create({ model: 'm', input: 'Hi' }))
  expect(made.output_text).toBe('made in the dark')
  // One that fails is ended by an operation of its own.
  const failed = responses.create({ model: 'm', input: 'Ho' })
  await expect(failed).rejects.toMatchObject({ status: 400, code: 'no' })
  await expect(responses.retrieve(made.id)).rejects.toMatchObject({ status: 503, code: 'store_unavailable' })
  link.restore()
  await expect.poll(() => running.stele.recorder.spool?.isSpooling).toBe(false)
  const rows = await witness.database.kysely.selectFrom('responses').selectAll().orderBy('id').execute()
  expect(rows.map(({ status, seq }) => [status, seq])).toEqual([
    ['completed', 1],
    ['failed', null],
  ])
  expect((await responseStore(witness.database).get('ada', made.id))?.body).toContain('made in the dark')
  const next = await responses.create({ model: 'm', input: 'More', previous_response_id: made.id })
  expect(next.output_text).toBe('and on')
})
