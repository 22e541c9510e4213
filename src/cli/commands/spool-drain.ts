import { Failure } from '../failure.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { say } from '../output.ts'

export interface DrainSpoolsOptions extends GlobalOptions {
  readonly rejected?: boolean
}

/** Writes what spools of this machine hold to the database. Fails when it would not take all of it. */
export async function drainSpools(options: DrainSpoolsOptions): Promise<void> {
  await withStele(options, async ({ recorder }) => {
    const done = await recorder.drainSpools({ retryRejected: options.rejected === true })
    if (done === undefined)
      return say('This database has no spool: it is on this machine, or calls are refused.')
    say(`${done.drained} entries drained, ${done.orphaned} calls without an end given up.`)
    if (done.rejected > 0)
      throw new Failure(`${done.rejected} entries were refused and kept. Run: stele spool status`)
  })
}
