import type { Applied } from './operations.ts'
import { Thread } from './thread.ts'
import { closing, type Writer, type WriterSetup, type WriterTask } from './writer.ts'

/**
 * Batches under way at once. The thread takes all it finds whenever it has finished a commit, so that it never waits for
 * this side to make up the next one.
 */
const concurrentBatches = 64

/**
 * Writes in a worker thread, so that waiting for the disk never stalls the event loop. A worker that dies is replaced
 * at the next batch; operations are idempotent, so the batch it held can be sent again.
 */
export function threadWriter(setup: WriterSetup): Writer {
  const thread = new Thread<WriterTask, Applied[]>('writer-thread', setup)
  return {
    concurrentBatches,
    apply: operations => thread.ask(operations),
    close: () => thread.close(closing),
  }
}
