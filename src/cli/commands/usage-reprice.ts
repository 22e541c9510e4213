import { type Days, timesOf } from '../day-span.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson } from '../output.ts'
import { withProgress } from '../progress.ts'
import { toRecord } from '../record.ts'
import { costText } from '../values.ts'

export interface RepriceCommandOptions extends GlobalOptions, Days {
  readonly user?: string
  readonly model?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

/** Computes costs anew, or tells what would change; prints what it came to. */
export async function repriceCalls(options: RepriceCommandOptions): Promise<void> {
  const { user: userId, model, dryRun, json } = options
  const { since, until } = timesOf(options)
  const report = await withStele(options, ({ costs }) =>
    withProgress('calls', ({ update }) =>
      costs.reprice({
        userId,
        model,
        since,
        until,
        dryRun,
        by: operatorHere(),
        onProgress: (done, total) => update(done, total, 'looked at'),
      }),
    ),
  )
  if (json === true) return writeJson(toRecord(report))
  const { looked, filled, corrected, unpriced, addedNanousd } = report
  say(`Calls looked at: ${looked}`)
  say(`Given a cost:    ${filled}`)
  say(`Corrected:       ${corrected}`)
  say(`Still unknown:   ${unpriced}`)
  say(`All together:    ${addedNanousd < 0 ? '-' : '+'}${costText(Math.abs(addedNanousd))}`)
  if (report.isDryRun) say('Nothing was changed.')
}
