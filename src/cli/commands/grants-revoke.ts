import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeLine } from '../output.ts'

/** Ends a break-glass grant; prints its id. */
export async function revokeGrant(id: string, options: GlobalOptions): Promise<void> {
  await withStele(options, ({ grants }) => grants.revoke(id, operatorHere()))
  say('The grant is over.')
  await writeLine(id)
}
