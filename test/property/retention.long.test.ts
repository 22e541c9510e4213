import fc from 'fast-check'
import { test } from 'vitest'
import { openStele } from '../../src/stele.ts'
import { playStory, story } from './retention-story.ts'

const runs = Number(process.env['PROPERTY_RUNS'] ?? 60)

test('whatever is recorded, whoever keeps it for how long, and whenever it expires: what should remain does, exactly', {
  timeout: 600_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(story, async ({ defaults, events }) => {
      const stele = await openStele({ databaseUrl: 'sqlite::memory:', retention: defaults })
      try {
        await playStory(stele, defaults, events)
      } finally {
        await stele.close()
      }
    }),
    { numRuns: runs },
  )
})
