import type { LimitTarget } from '../../limits/targets.ts'
import { targetText } from '../limit-text.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say } from '../output.ts'

export interface RemoveLimitsOptions extends GlobalOptions, LimitTarget {}

/** Takes all limits of a user, a key or a model away. */
export async function removeLimits(options: RemoveLimitsOptions): Promise<void> {
  const { user, eachUser, key, model } = options
  const target = { user, eachUser, key, model }
  await withStele(options, ({ limits }) => limits.remove(target, operatorHere()))
  say(`No limits of ${targetText(target)} any more.`)
}
