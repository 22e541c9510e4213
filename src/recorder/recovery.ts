import type { Row } from '../db/tables.ts'
import type { Store } from '../store/contents.ts'
import { type OpenCall, promptInstances, reservedIn } from '../store/instances.ts'
import { queueCallsOf } from '../store/search-queue.ts'
import type { Watch } from './instance.ts'
import type { SettleOperation } from './operations.ts'
import { orphanSettlement } from './settlement.ts'

/**
 * Settles as `orphaned` every call that a dead process dispatched and never settled, then forgets the process. Safe to
 * run anywhere at any time: settling is idempotent, so two recoveries at once do the work once.
 * Returns how many calls were found.
 */
export async function recoverOrphans(
  database: Store,
  self: Row<'instances'>,
  watch: Watch,
  settle: (operation: SettleOperation) => Promise<unknown>,
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
    await queueCallsOf(database, instance)
    await instances.forget(instance.id)
  }
  return found
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
          requestModel: call.request_model,
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
