import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, user } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'

test('a claim that meets an uncommitted one waits for it, and then finds the key taken', async () => {
  const place = await postgresPlace()
  const [first, second] = [await place.stele(), await place.stele()]
  await second.recorder.start()
  const expiresAt = Date.now() + 3_600_000
  let asking: Promise<unknown> = Promise.resolve()
  await first.database.batch(async batch => {
    await batch.insert('idempotency_keys', [
      { user_id: 'ada', key_hash: 'k', request_hash: 'r', call_id: newId('call'), expires_at: expiresAt },
    ])
    const claim = { keyHash: 'k', requestHash: 'r', expiresAt }
    // A neighbour that cannot be stored: each call of the batch is then begun on its own, for the last time.
    const bad = begin(second, chatBody([user('bad')]), { userId: 'bob', createdAt: Number.NaN })
    bad.catch(() => undefined)
    asking = begin(second, chatBody([user('q')]), { claim })
    asking.catch(() => undefined)
    await expect.poll(() => waitingClaims(first)).toBe(1)
  })
  await failure('idempotency_key_in_use', asking)
  expect(await countOf(first, 'llm_requests')).toBe(0)
  // Its neighbours in the queue, and itself under another key, are none the worse for it.
  await begin(second, chatBody([user('q')]), { claim: { keyHash: 'k2', requestHash: 'r', expiresAt } })
  expect(await countOf(first, 'idempotency_keys')).toBe(2)
})

/** Insertions of keys that wait for another transaction. */
async function waitingClaims({ database }: Stele): Promise<number> {
  const { rows } = await sql`SELECT 1 FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO idempotency_keys%'`.execute(database.kysely)
  return rows.length
}
