import { type GlobalOptions, withStele } from '../open-store.ts'
import { say } from '../output.ts'
import { printableLine } from '../printable.ts'

export interface UnsetRetentionOptions extends GlobalOptions {
  readonly user: string
}

/** Lets everybody's periods apply to a user again. */
export async function unsetRetention(options: UnsetRetentionOptions): Promise<void> {
  const { user } = options
  const hadOwn = await withStele(options, ({ retention }) => retention.unset(user))
  say(
    `${printableLine(user)} ${hadOwn ? 'has no periods of its own any longer.' : 'had no periods of its own.'}`,
  )
}
