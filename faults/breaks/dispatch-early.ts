import { setTimeout as sleep } from 'node:timers/promises'
import { newId } from '../../src/ids.ts'
import type { Operation, OperationResult } from '../../src/recorder/operations.ts'
import { CommitQueue as Original } from '../../src/recorder/queue.ts'

export * from '../../src/recorder/queue.ts'

const delay = 300

export class CommitQueue extends Original {
  override async submit(operation: Operation): Promise<OperationResult> {
    if (operation.kind !== 'begin') return super.submit(operation)
    void sleep(delay)
      .then(() => super.submit(operation))
      .catch(() => undefined)
    const conversationId = newId('conversation')
    const decision = { conversationId, isKeptWhole: false, anchorsReply: false }
    return { conversationId, isRepeat: false, decision }
  }
}
