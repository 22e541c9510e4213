import { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { accessSteps } from '../../src/recorder/access-steps.ts'
import type { Operation } from '../../src/recorder/operations.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

test('whoever is too early to try again waits for nobody who writes', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const attempt = { name: 'nobody', password: 'x', place: 'abcd', times: { idle: 1, absolute: 1 } }
  await failure('login_failed', stele.logins.logIn(attempt))
  const blocked_until = Date.now() + 60_000
  await stele.database.kysely.updateTable('login_attempts').set({ blocked_until }).execute()
  const other = new DatabaseSync(place.databaseUrl.replace(/^sqlite:/, ''))
  onTestFinished(() => other.close())
  other.exec('BEGIN IMMEDIATE')
  // Else it would wait until the lock is given up on.
  await failure('too_many_attempts', stele.logins.logIn(attempt))
  other.exec('ROLLBACK')
})

test('the writer gets what logins write one after the other, also when one fails', async () => {
  const stele = await (await sqlitePlace()).stele()
  let underWay = 0
  let most = 0
  const written: string[] = []
  const doStep = accessSteps(stele.database, {
    concurrentBatches: 64,
    close: async () => undefined,
    async apply(operations: readonly Operation[]) {
      underWay += operations.length
      most = Math.max(most, underWay)
      await nextTurn()
      underWay -= operations.length
      const [operation] = operations
      const id =
        operation?.kind === 'access' && operation.step.kind === 'seen' ? operation.step.sessionId : ''
      if (id === '3') throw new Error('the disk is full')
      written.push(id)
      return [{ ok: true, result: { conversationId: undefined, isRepeat: false, step: { ended: 0 } } }]
    },
  })
  const steps = Array.from({ length: 6 }, (_, index) =>
    doStep({ kind: 'seen', userId: 'ada', sessionId: String(index), at: 1 }),
  )
  const outcomes = (await Promise.allSettled(steps)).map(({ status }) => status)
  expect(outcomes).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
  expect({ most, written }).toEqual({ most: 1, written: ['0', '1', '2', '4', '5'] })
})
