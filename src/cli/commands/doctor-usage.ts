import type { UsageCheck, UsageDifference } from '../../analytics/check.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { type Column, formatTable } from '../table.ts'

export interface UsageDoctorOptions extends GlobalOptions {
  readonly usage?: boolean
  readonly repair?: boolean
  readonly json?: boolean
}

const columns: readonly Column<UsageDifference>[] = [
  { title: 'SUMS', text: ({ of }) => of },
  { title: 'DAY', text: ({ cell }) => cell.day },
  { title: 'USER', text: ({ cell }) => (cell.userId === '' ? '(everybody)' : cell.userId), elastic: true },
  { title: 'MODEL', text: ({ cell }) => cell.model, elastic: true },
  { title: 'COLUMN', text: ({ column }) => column },
  { title: 'FOUND', text: ({ found }) => String(found), align: 'right' },
  { title: 'RIGHT', text: ({ expected }) => String(expected), align: 'right' },
]

/** Differences that are printed; a repair repairs all. */
const mostShown = 50

/** Calls after which it is told how far the count has come. */
const many = 100_000

/** Proves that the sums of calls are what the calls come to, and makes them so where they are not and that is asked. */
export async function usageDoctor(options: UsageDoctorOptions): Promise<void> {
  const { repair, json } = options
  const { found, left } = await withStele(options, async ({ usage }) => {
    const check = (): Promise<UsageCheck> => usage.check(calls => tell(calls))
    const first = await check()
    if (repair !== true || first.differences.length === 0) return { found: first, left: first }
    await usage.repair(first)
    return { found: first, left: await check() }
  })
  const isRepaired = found.differences.length > 0 && left.differences.length === 0
  if (json === true)
    await writeJson({ ok: left.differences.length === 0, repaired: isRepaired, ...asRecord(found) })
  else {
    const { calls, cells, letGo, differences } = found
    if (differences.length > 0)
      await write(formatTable(columns, differences.slice(0, mostShown), outputWidth()))
    await write(
      `${calls} calls counted, ${cells} sums compared: ${differences.length === 0 ? 'all are right' : `${differences.length} differ`}.\n`,
    )
    if (letGo > 0)
      say(`${letGo} sums are of calls that retention has let go: they were compared with one another.`)
    if (isRepaired) say('They are right now.')
  }
  if (left.differences.length > 0)
    throw new Failure(
      repair === true
        ? 'Not all could be repaired.'
        : 'Sums differ from the calls. Run: stele doctor --usage --repair',
    )
}

let told = 0

function tell(calls: number): void {
  const done = Math.floor(calls / many)
  if (done > told) say(`${calls} calls counted`)
  told = done
}

function asRecord({ calls, cells, letGo, differences }: UsageCheck) {
  return {
    calls,
    cells,
    let_go: letGo,
    differences: differences.map(({ of, cell, column, found, expected }) => ({
      of,
      day: cell.day,
      user: cell.userId === '' ? null : cell.userId,
      model: cell.model,
      column,
      found,
      expected,
    })),
  }
}
