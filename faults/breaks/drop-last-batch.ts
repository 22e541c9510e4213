import type { Operation, OperationResult } from '../../src/recorder/operations.ts'
import { CommitQueue as Original } from '../../src/recorder/queue.ts'

export * from '../../src/recorder/queue.ts'

/** Always holds the last settle back, and never writes it when the gateway stops. */
export class CommitQueue extends Original {
  #held: Operation | undefined

  override async submit(operation: Operation): Promise<OperationResult> {
    // Recovery looks until it finds nothing open; it must not be kept looking.
    if (operation.kind !== 'settle' || operation.settlement.status === 'orphaned')
      return super.submit(operation)
    const before = this.#held
    this.#held = operation
    if (before !== undefined) void super.submit(before).catch(() => undefined)
    return { conversationId: operation.call.conversationId, isRepeat: false }
  }
}
