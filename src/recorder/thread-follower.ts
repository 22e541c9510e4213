import type { RoundMaker } from '../audit/places/file-keeper.ts'
import type { FollowerReport } from '../audit/places/follower.ts'
import { Thread } from './thread.ts'
import type { WriterSetup } from './writer.ts'

export interface FollowerSetup extends Pick<WriterSetup, 'databaseUrl' | 'settings' | 'content'> {
  readonly folder: string
  readonly expected: number
}

export type FollowerRequest = 'round' | 'close'

/** Follows the log in a worker thread: reading it, opening what it tells and writing it down takes the event loop's time otherwise. */
export function threadFollower(setup: FollowerSetup): RoundMaker {
  const thread = new Thread<FollowerRequest, FollowerReport>('follower-thread', setup)
  return {
    round: () => thread.ask('round'),
    close: () => thread.close('close'),
  }
}
