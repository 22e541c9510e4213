import type { Row } from '../db/tables.ts'
import type { Store } from '../store/contents.ts'
import { openDocuments } from '../store/documents.ts'
import { type OpenCall, promptInstances, reservedIn } from '../store/instances.ts'
import { queueCallsOf } from '../store/search-queue.ts'
import type { Watch } from './instance.ts'
import type { DocumentOperation, SettleOperation } from './operations.ts'
import { orphanSettlement } from './settlement.ts'

/**
 * Settles as `orphaned` every call that a dead process dispatched and never settled, and ends the documents that it was
 * making, then forgets the process. Safe to
 * run anywhere at any time: settling is idempotent, so two recoveries at once do the work once.
 * Returns how many calls were found.
 */
export async function recoverOrphans(
  database: Store,
  self: Row<'instances'>,
  watch: Watch,
  settle: (operation: SettleOperation | DocumentOperation) => Promise<unknown>,
): Promise<number> {
  const instances = promptInstances(database)
  const dead = watch.dead(await instances.others(self.id), self)
  let found = 0
  for (const instance of dead) {
    let last: string | undefined
    for (;;) {
      const calls = await instances.openCalls(instance)
      // Calls that are still open after they were settled: their ends wait in the spool, as the database is away again.
      if (calls.length > 0 && calls[0]?.id === last) return found
      if (calls.length === 0) break
      last = calls[0]?.id
      await giveUp(calls, settle)
      found += calls.length
    }
    await giveUpDocuments(database, instance.id, settle)
    await queueCallsOf(database, instance)
    await instances.forget(instance.id)
  }
  return found
}

/** Ends what a dead process was making, be it between two calls: nobody makes the next one. */
async function giveUpDocuments(
  database: Store,
  instanceId: string,
  change: (operation: DocumentOperation) => Promise<unknown>,
): Promise<void> {
  const { code: errorCode, message: errorMessage } = lostDocument
  const documents = await openDocuments(database, instanceId)
  await Promise.all(
    documents.map(({ user_id: userId, id }) => {
      const end = { id, status: 'failed', errorCode, errorMessage, output: undefined }
      return change({ kind: 'document', userId, id, change: { kind: 'end', end }, at: Date.now() })
    }),
  )
}

const lostDocument = {
  code: 'orphaned',
  message: 'The process that made this document ended before it was whole.',
}

/** Settles calls whose end nobody can know. */
export async function giveUp(
  calls: readonly OpenCall[],
  settle: (operation: SettleOperation) => Promise<unknown>,
): Promise<void> {
  const settlement = orphanSettlement()
  await Promise.all(
    calls.map(call =>
      settle({
        kind: 'settle',
        call: {
          callId: call.id,
          userId: call.user_id,
          apiKeyId: call.api_key_id ?? undefined,
          provider: call.provider,
          requestModel: call.request_model,
          operation: call.operation,
          conversationId: call.conversation_id,
          upToSeq: call.up_to_seq,
          // Only a reply's message is hashed onto these, and an orphan has none.
          chainHash: '',
          wireHash: '',
          anchorsReply: false,
          keepsContent: true,
          reserved: reservedIn(call),
          createdAt: call.created_at,
        },
        settlement,
      }),
    ),
  )
}
