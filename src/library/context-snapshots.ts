import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import { keyText, wholeNumber } from '../model/json-object.ts'
import { encodeContent } from '../privacy/content.ts'
import type { Recorder } from '../recorder/recorder.ts'
import type { Store } from '../store/contents.ts'
import { type ContextSnapshot, contextSnapshotStore, snapshotFromRow } from '../store/context-snapshots.ts'

export interface NewContextSnapshot {
  readonly userId: string
  readonly conversationId: string
  /** The last message that it stands for. */
  readonly upToSeq: number
  readonly content: string
}

/** Context snapshots as an application keeps them: reading from the store, writing through the recorder. */
export function contextSnapshotLibrary(database: Store, recorder: Recorder) {
  return {
    ...contextSnapshotStore(database),
    /** @throws SteleError conversation_not_found, invalid_value when there is no such message yet */
    async create(snapshot: NewContextSnapshot): Promise<ContextSnapshot> {
      const { userId, conversationId, upToSeq, content } = snapshot
      if (typeof content !== 'string' || !content.isWellFormed())
        throw new SteleError(
          'invalid_value',
          { name: 'content', reason: 'it must be well-formed text' },
          { param: 'content' },
        )
      const at = Date.now()
      const row = {
        user_id: keyText('userId', userId),
        id: newId('snapshot'),
        conversation_id: keyText('conversationId', conversationId),
        up_to_seq: wholeNumber('upToSeq', upToSeq, 0),
        content: encodeContent(content),
        created_at: at,
      }
      await recorder.change({ kind: 'edit', edit: { action: 'create-snapshot', userId, at, row } })
      return snapshotFromRow(row)
    },
    /** Removes it for good. @throws SteleError snapshot_not_found */
    async delete(userId: string, id: string): Promise<void> {
      await recorder.change({
        kind: 'edit',
        edit: {
          action: 'delete-snapshot',
          userId: keyText('userId', userId),
          id: keyText('id', id),
          at: Date.now(),
        },
      })
    },
  }
}
