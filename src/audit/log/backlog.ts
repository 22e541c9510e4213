/**
 * Events from before there was a log: two rows of the queue, which the migration has written, tell up to which id there may be
 * such, and behind which of them none is taken in yet.
 */
const bound = 'backlog'
const progress = 'backlog-after'

/** Whether a row of the queue is one of the two. They come before all others. */
export function isBacklog(queueId: string): boolean {
  return queueId === bound || queueId === progress
}
