import { expect, test } from 'vitest'
import { exchange, user } from '../harness/chat.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

test('limits are set, listed with what is used, and removed; doctor compares their counters and puts them right', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const run = (...args: string[]) => runStele(args, { place })
  const set = await run(
    'limits',
    'set',
    '--user',
    'ada',
    '--tokens-per-day',
    '100000',
    '--cost-per-month',
    '2.50',
  )
  expect(set).toMatchObject({ code: 0 })
  expect(set.stderr).toContain('Limits of user ada: 0/100000 tokens per day, $0.00/$2.50 per month.')
  await run('limits', 'set', '--each-user', '--model', 'm', '--requests-per-minute', '5')
  await stele.limits.set({ user: 'ada' }, { nanousdPerMonth: null })
  await exchange(stele, [user('q')], 'a')
  expect(await runJson(['limits', 'list', '--user', 'ada'], { place })).toMatchObject([
    { each_user: true, model: 'm', caps: { requestsPerMinute: 5 }, used: { requestsPerMinute: 0 } },
    { user: 'ada', caps: { tokensPerDay: 100_000 }, used: { tokensPerDay: 15 } },
  ])
  const listed = await run('limits', 'list')
  expect(listed.stdout).toContain('each user, model m')
  expect(listed.stdout).toContain('15/100000 tokens per day')
  const [event] = await stele.auditEvents.list({ action: 'limit.set', limit: 5, userId: 'ada' })
  expect(event?.actor).toMatch(/^operator/)

  await stele.database.kysely.updateTable('limit_counters').set({ tokens: 7 }).execute()
  const wrong = await run('doctor')
  expect(wrong.code).toBe(1)
  expect(wrong.stdout).toContain('run: stele doctor --repair-limits')
  expect((await run('doctor', '--repair-limits')).stdout).toContain('1 counters are put right')
  expect((await run('doctor')).stdout).toContain('every counter is the sum of its calls')

  const env = { DAILY_TOKEN_CAP: '5000', DAILY_COST_CAP: '1000000' }
  const configured = await runStele(['limits', 'list'], { place, env })
  expect(configured.stderr).toContain(
    'each user 5000 tokens per day, $1000000.00 per day, where nothing else',
  )

  expect((await run('limits', 'remove', '--user', 'ada')).stderr).toContain('No limits of user ada any more.')
  expect(await run('limits', 'remove', '--user', 'ada')).toMatchObject({ code: 1, stdout: '' })
  expect((await run('limits', 'set', '--user', 'ada', '--cost-per-day', 'five')).code).toBe(2)

  const key = await stele.apiKeys.create({ userId: 'ada', name: 'k' })
  const ofKey = await run('limits', 'set', '--key', key.id, '--requests-per-minute', '60')
  expect(ofKey.stderr).toContain(`Limits of key ${key.id}: 0/60 requests per minute.`)
  expect((await run('limits', 'set', '--key', key.secret, '--requests-per-minute', '60')).code).toBe(1)
})
