import type { Database } from '../db/database.ts'

/** Expired keys forgotten in one statement, so that writers never wait long. */
const page = 1_000

/** The call that an idempotency key stands for. */
export interface KeyedCall {
  readonly callId: string
  /** Of the request that made it. */
  readonly requestHash: string
  /** Where the call was begun; a reply whose place another took is elsewhere. */
  readonly conversationId: string
  readonly replyConversationId: string
  /** `pending` until it is settled. */
  readonly status: string
  readonly contentType: string | undefined
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

const answering: ReadonlySet<string> = new Set(['completed', 'cached'])

/**
 * Whether a call that ended so lets another be made under its key: only an answer is worth giving again, and whatever
 * else came of a call, its client is trying again because it has none. Undefined stands for a call still under way.
 */
export function leavesKeyFree(status: string | undefined): boolean {
  return status !== undefined && !answering.has(status)
}

/** What clients' idempotency keys stand for. Keys are written by the recorder, with the calls that they belong to. */
export function idempotencyKeyStore({ kysely }: Pick<Database, 'kysely'>) {
  return {
    /** The call that holds a key at `now`; undefined when none does. */
    async find(userId: string, keyHash: string, now: number): Promise<KeyedCall | undefined> {
      const key = await kysely
        .selectFrom('idempotency_keys')
        .select(['call_id', 'request_hash'])
        .where('user_id', '=', userId)
        .where('key_hash', '=', keyHash)
        .where('expires_at', '>', now)
        .executeTakeFirst()
      if (key === undefined) return undefined
      const call = await kysely
        .selectFrom('llm_requests')
        .select(['conversation_id', 'created_at'])
        .where('id', '=', key.call_id)
        .where('user_id', '=', userId)
        .executeTakeFirst()
      const reply = await kysely
        .selectFrom('llm_responses')
        .select(['status', 'content_type', 'conversation_id'])
        .where('request_id', '=', key.call_id)
        .where('user_id', '=', userId)
        .executeTakeFirst()
      const conversationId = call?.conversation_id ?? ''
      return {
        callId: key.call_id,
        requestHash: key.request_hash,
        conversationId,
        replyConversationId: reply?.conversation_id ?? conversationId,
        status: reply?.status ?? 'pending',
        contentType: reply?.content_type ?? undefined,
        createdAt: call?.created_at ?? 0,
      }
    },
    /** Forgets keys that have expired at `now`, a page at a time. Returns how many. */
    async forgetExpired(now: number): Promise<number> {
      let forgotten = 0
      for (;;) {
        const last = await kysely
          .selectFrom('idempotency_keys')
          .select('expires_at')
          .where('expires_at', '<=', now)
          .orderBy('expires_at')
          .offset(page - 1)
          .limit(1)
          .executeTakeFirst()
        const { numDeletedRows } = await kysely
          .deleteFrom('idempotency_keys')
          .where('expires_at', '<=', last?.expires_at ?? now)
          .executeTakeFirst()
        forgotten += Number(numDeletedRows)
        if (last === undefined) return forgotten
      }
    },
  }
}
