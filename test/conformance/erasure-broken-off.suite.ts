import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { doErasureStep } from '../../src/erasure/do-step.ts'
import { runErasure } from '../../src/erasure/run.ts'
import { doStep as doRetentionStep } from '../../src/retention/do-step.ts'
import { filesIn, holding, keyBytesOf } from '../harness/bytes.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { factOf, liveEverywhere, secretOf } from '../harness/lives.ts'

/** Erasures that end between any two steps, as those of a process do that is killed. */
export function brokenOffErasureSuite(bed: Bed): void {
  test('wherever one ends, nothing can be read, it is known to be unfinished, and finishing it leaves no byte', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const database = { ...place.database(), contents: stele.database.contents }
    const isFile = place.databaseUrl.startsWith('sqlite:')
    const folders = isFile ? [dirname(place.databaseUrl.slice('sqlite:'.length))] : []
    const cutAfter = async (userId: string, steps: number): Promise<boolean> => {
      let left = steps
      const counted =
        <S, R>(work: (step: S) => Promise<R>) =>
        async (step: S): Promise<R> => {
          if (left-- === 0) throw new Error('killed')
          return work(step)
        }
      const parts = {
        database,
        doStep: counted((step: Parameters<typeof doErasureStep>[1]) => doErasureStep(database, step)),
        doRetentionStep: counted((step: Parameters<typeof doRetentionStep>[1]) =>
          doRetentionStep(database, step),
        ),
        onUnreadable: () => undefined,
      }
      const end = runErasure(parts, { userId, actor: 'operator', reason: undefined })
      return end.then(
        () => false,
        (error: Error) => error.message === 'killed',
      )
    }
    for (let steps = 1, wasCut = true; wasCut; steps++) {
      const userId = `user${steps}`
      const { callId } = await liveEverywhere(stele, userId)
      const keys = await keyBytesOf(stele, place, userId)
      wasCut = await cutAfter(userId, steps)
      const next = await place.stele()
      const reading = next.calls.exactRequest(userId, callId).then(
        () => 'readable',
        error => error.code,
      )
      expect(['content_erased', 'content_not_kept'], String(steps)).toContain(await reading)
      expect(await next.unfinishedErasures(), String(steps)).toEqual(wasCut ? [userId] : [])
      if (wasCut) {
        await failure('user_erasing', next.verifyErasure(userId))
        expect(await next.erase(userId)).toMatchObject({ remains: [], isScrubbed: true })
      } else expect(steps).toBeGreaterThan(12)
      expect(await next.verifyErasure(userId)).toEqual([])
      await next.close()
      const files = await filesIn(folders)
      expect(holding(files, [secretOf(userId), factOf(userId), ...keys]), String(steps)).toEqual([])
    }
  }, 60_000)
}
