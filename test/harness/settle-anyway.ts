import { expect } from 'vitest'
import { LimitBook } from '../../src/limits/book.ts'
import type { BegunCall } from '../../src/model/call.ts'
import { applyBatch } from '../../src/recorder/apply.ts'
import type { Settlement } from '../../src/recorder/operations.ts'
import type { Stele } from '../../src/stele.ts'
import { storeSearchTokens } from '../../src/store/search-keys.ts'

/** Settles a call as a spool does that knows its end, also when it has been given up. */
export async function settleAnyway(stele: Stele, call: BegunCall, settlement: Settlement): Promise<void> {
  const context = {
    database: stele.database,
    hashes: stele.hashes,
    tokens: storeSearchTokens(stele.database.contents),
    limits: new LimitBook({}),
    knownUsers: new Set<string>(),
  }
  const applied = await applyBatch(context, [{ kind: 'settle', call, settlement, isAcknowledged: true }])
  expect(applied).toMatchObject([{ ok: true }])
}
