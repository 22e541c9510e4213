import { expect, test } from 'vitest'
import { exchange, user } from '../harness/chat.ts'
import { type Place, sqlitePlace } from '../harness/databases.ts'
import { cacheAnswer } from '../harness/every-kind.ts'
import { runJson, runStele } from './run-stele.ts'

async function filledPlace(): Promise<Place> {
  const place = await sqlitePlace()
  const stele = await place.stele()
  for (const userId of ['ada', 'bob']) {
    const { call } = await exchange(stele, [user('Hi')], 'Hello', { userId })
    await cacheAnswer(stele, { userId, callId: call.callId, text: 'Hello' })
  }
  await stele.close()
  return place
}

test('answers in the cache are counted, and cleared by user, by model, or all', async () => {
  const place = await filledPlace()
  expect(await runJson(['cache', 'stats'], { place })).toMatchObject({ entries: 2, semantic: 2, hits: 0 })
  expect(await runJson(['cache', 'stats', '--user', 'ada'], { place })).toMatchObject({ entries: 1 })
  const told = await runStele(['cache', 'stats'], { place })
  expect(told.stdout).toMatch(
    /^entries +2\nfound by meaning +2\nbytes +\d+\ntimes given +0\noldest +2.*\nnewest +2.*\n$/,
  )
  expect(await runJson(['cache', 'clear', '--model', 'another'], { place })).toEqual({ removed: 0 })
  const cleared = await runStele(['cache', 'clear', '--user', 'ada'], { place })
  expect(cleared).toMatchObject({ code: 0, stdout: '' })
  expect(cleared.stderr).toContain('Removed 1 answer.')
  expect(await runJson(['cache', 'clear'], { place })).toEqual({ removed: 1 })
  expect(await runJson(['cache', 'stats'], { place })).toMatchObject({ entries: 0 })
})

test('a key is made that says how its calls are cached', async () => {
  const place = await filledPlace()
  const made = ['keys', 'create', '--user', 'ada', '--cache', 'exact', '--cache-partition', 'faq']
  expect(await runJson(made, { place })).toMatchObject({ cache: 'exact in:faq' })
  expect(await runJson(['keys', 'list'], { place })).toMatchObject([{ cache: 'exact in:faq' }])
  for (const wrong of [
    ['--cache', 'sometimes'],
    ['--cache-partition', 'User Group'],
  ])
    expect(await runStele(['keys', 'create', '--user', 'ada', ...wrong], { place })).toMatchObject({
      code: 2,
    })
})
