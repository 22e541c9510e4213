import { join } from 'node:path'
import { expect, test } from 'vitest'
import { doErasureStep } from '../../src/erasure/do-step.ts'
import { exchange, user } from '../harness/chat.ts'
import { postgresPlace, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { runJson, runStele } from './run-stele.ts'

test('a user is erased only when that is said, and then tells what went and that nothing is left', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const { call } = await exchange(stele, [user('gone')], 'g', { userId: 'ada' })
  await exchange(stele, [user('kept')], 'k', { userId: 'bob' })
  const cwd = await temporaryFolder()
  await runStele(['backup', 'b.db'], { place, cwd })
  const unasked = await runStele(['erase', 'ada'], { place, cwd })
  expect(unasked).toMatchObject({ code: 2, stdout: '' })
  expect(unasked.stderr).toContain('--yes')
  expect((await stele.calls.exactRequest('ada', call.callId)).toString()).toContain('gone')

  const args = ['erase', 'ada', '--yes', '--reason', 'ticket 7', '--keys', 'b.db.keys']
  const done = await runStele(args, { place, cwd })
  expect(done).toMatchObject({ code: 0, stdout: 'ada\n' })
  expect(done.stderr).toContain('Erased ada: ')
  expect(done.stderr).toContain('Struck from b.db.keys: 1 keys.')
  const event = (await rowsOf(stele, 'audit_events')).find(({ action }) => action === 'user.erased')
  expect(event?.actor).toMatch(/^operator/)
  expect(JSON.parse(event?.details ?? '')).toMatchObject({ reason: 'ticket 7', messages: 2 })
  expect((await runStele(['erase', 'ada', '--verify'], { place, cwd })).stderr).toContain('Nothing is left')
  expect(await runJson(['erase', 'ada', '--verify'], { place, cwd })).toEqual({ user: 'ada', remains: [] })
  await stele.database.kysely.updateTable('users').set({ email: 'a@b' }).where('id', '=', 'ada').execute()
  const left = await runStele(['erase', 'ada', '--verify'], { place, cwd })
  expect(left).toMatchObject({ code: 1, stdout: '' })
  expect(left.stderr).toContain('Something is left of ada: users.email (1)')

  const to = `sqlite:${join(cwd, 'old.db')}`
  const restored = await runStele(['restore', 'b.db', '--to', to], { place, cwd })
  expect(restored.stderr).toContain('1 users were erased since')
  expect(await runStele(['erase', '--unfinished', '--database', to], { place, cwd })).toMatchObject({
    code: 0,
    stdout: 'ada\n',
  })
  expect((await runStele(['erase', '--unfinished', '--database', to], { place, cwd })).stderr).toContain(
    'No erasure is unfinished',
  )
})

test('what is asked for wrongly is told', async () => {
  const place = await sqlitePlace()
  await (await place.stele()).close()
  for (const args of [['erase'], ['erase', 'ada', '--unfinished']])
    expect((await runStele(args, { place })).code, args.join(' ')).toBe(2)
  const unknown = await runStele(['erase', 'nobody', '--yes'], { place })
  expect(unknown).toMatchObject({ code: 1, stderr: "stele: There is no user 'nobody'.\n" })
})

test('keys are backed up and put back by themselves, on a database that has its own backups too', async () => {
  const place = await postgresPlace()
  const stele = await place.stele()
  const { call } = await exchange(stele, [user('kept')], 'k', { userId: 'bob' })
  const cwd = await temporaryFolder()
  const env = { DB_SCHEMA: place.schema ?? '' }
  expect(await runStele(['keys', 'backup', 'some.keys'], { place, cwd, env })).toMatchObject({
    code: 0,
    stdout: 'some.keys\n',
  })
  await stele.database.kysely.deleteFrom('data_keys').execute()
  const restored = await runStele(['keys', 'restore', 'some.keys'], { place, cwd, env })
  expect(restored.stderr).toContain('Restored 1 keys.')
  const again = await place.stele()
  expect((await again.calls.exactRequest('bob', call.callId)).toString()).toContain('kept')
})

test('a gateway that starts finishes what broke off', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  await exchange(stele, [user('gone')], 'g', { userId: 'ada' })
  const request = { userId: 'ada', actor: 'operator', reason: undefined }
  const database = { ...place.database(), contents: stele.database.contents }
  await doErasureStep(database, { kind: 'begin', request, at: Date.now() })
  expect(await stele.unfinishedErasures()).toEqual(['ada'])
  const { finishErasures } = await import('../../src/gateway/erasure-job.ts')
  const { pino } = await import('pino')
  const job = finishErasures(stele, pino({ level: 'silent' }))
  await expect.poll(() => stele.unfinishedErasures()).toEqual([])
  await job.stop()
  expect(await rowsOf(stele, 'messages')).toEqual([])
})
