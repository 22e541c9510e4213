import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Place, postgresPlace, sqlitePlace } from '../harness/databases.ts'
import { commands } from './recorder-commands.ts'
import { expectRecord, RecorderModel, startRecorder } from './recorder-model.ts'

/** Raised by hand when a search is to go deeper. */
const scale = Number(process.env['PROPERTY_RUNS'] ?? 100) / 100

const databases: [name: string, place: () => Promise<Place>, runs: number][] = [
  ['SQLite', sqlitePlace, 15],
  ['PostgreSQL', postgresPlace, 8],
]

test.each(databases)(
  'however begins, settles, repeats, conflicts, restarts and crashes interleave, every call is recorded once (%s)',
  { timeout: 600_000 },
  async (_, place, runs) => {
    let settled = 0
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 25, size: 'max' }), async steps => {
        const real = await startRecorder(await place())
        const model = new RecorderModel()
        try {
          await fc.asyncModelRun(() => ({ model, real }), steps)
          await expectRecord(model, real.stele, real.ids)
          settled += model.calls.filter(call => call?.status !== undefined).length
        } finally {
          await real.stele.close()
        }
      }),
      { numRuns: Math.ceil(runs * scale) },
    )
    // A search whose calls all stay open would prove nothing about settling.
    expect(settled).toBeGreaterThan(runs * scale)
  },
)
