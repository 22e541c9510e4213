import type { Database } from '../db/database.ts'
import { SteleError } from '../errors.ts'

/** Puts a failed reading in the client's terms: a store that does not answer now may do so later. */
export function storeFailure(database: Database, cause: unknown): unknown {
  if (cause instanceof SteleError || database.classify(cause) === 'rejected') return cause
  return new SteleError('store_unavailable', { reason: 'it does not answer' }, { cause })
}
