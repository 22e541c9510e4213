import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation, OperationResult } from '../../src/recorder/operations.ts'
import { CommitQueue as Original } from '../../src/recorder/queue.ts'

export * from '../../src/recorder/queue.ts'

const delay = 300

export class CommitQueue extends Original {
  override async submit(operation: Operation): Promise<OperationResult> {
    // Recovery looks until it finds nothing open; it must not be kept looking.
    if (operation.kind !== 'settle' || operation.settlement.status === 'orphaned')
      return super.submit(operation)
    void sleep(delay)
      .then(() => super.submit(operation))
      .catch(() => undefined)
    return { conversationId: operation.call.conversationId, isRepeat: false }
  }
}
