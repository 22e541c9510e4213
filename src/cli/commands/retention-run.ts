import type { RetentionReport } from '../../retention/run.ts'
import type { Tally } from '../../retention/tally.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, withDatabase, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { withProgress } from '../progress.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'

export interface RunRetentionOptions extends GlobalOptions {
  readonly dryRun?: boolean
  readonly vacuum?: boolean
  readonly json?: boolean
}

const columns: readonly Column<Tally>[] = [
  { title: 'USERS', text: ({ group }) => group, elastic: true },
  { title: 'WHY', text: ({ reason }) => reason },
  { title: 'WHAT', text: ({ kind }) => kind },
  { title: 'ROWS', text: ({ rows }) => String(rows), align: 'right' },
  { title: 'BYTES', text: ({ bytes }) => String(bytes), align: 'right' },
]

/** Lets go what has expired, or tells what would go; prints how much of what, and why. */
export async function letGo(options: RunRetentionOptions): Promise<void> {
  const { dryRun, vacuum, json } = options
  const report = await withStele(options, async ({ retention, database }) => {
    if (vacuum === true && database.file === undefined)
      throw new Failure('This database is no file that Stele could write anew; its server sees to its space.')
    return withProgress('rows', ({ update }) =>
      retention.run({ dryRun, onProgress: (done, total) => update(done, total, 'looked at') }),
    )
  })
  if (json === true) await writeJson({ ...toRecord(report), expired: report.expired })
  else if (report.expired.length > 0) await write(formatTable(columns, report.expired, outputWidth()))
  sayWords(report)
  if (vacuum !== true || dryRun === true) return
  await withDatabase(options, async ({ file }) => file?.compact())
  say('The file is written anew.')
}

function sayWords({
  isDryRun,
  expired,
  droppedMonths,
  busyMonths,
  reclaimedBytes,
  unusedBytes,
}: RetentionReport): void {
  if (expired.length === 0) say('Nothing has expired.')
  else say(isDryRun ? 'That would go. Nothing was changed.' : 'That is gone.')
  if (droppedMonths.length > 0) say(`Given up whole: ${droppedMonths.join(', ')}`)
  if (busyMonths.length > 0) say(`In use, left for the next run: ${busyMonths.join(', ')}`)
  if (reclaimedBytes > 0) say(`The file gave back ${reclaimedBytes} bytes.`)
  if (unusedBytes > 0)
    say(
      `${unusedBytes} bytes of the file are unused; --vacuum gives them back while no other process has it open.`,
    )
}
