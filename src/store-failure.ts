import type { Database } from './db/database.ts'
import { SteleError } from './errors.ts'
import { quietReasonOf } from './quiet-error.ts'

export type Classifier = Pick<Database, 'classify'>

/**
 * Puts what a database has raised in the terms of Stele: `store_unavailable`, the database's own words as its cause. What it
 * refused for what it is stays as it is.
 * @param reason what is told of why; without it, what the database said
 */
export function storeFailure(database: Classifier, cause: unknown, reason?: string): unknown {
  if (cause instanceof SteleError || database.classify(cause) === 'rejected') return cause
  return new SteleError('store_unavailable', { reason: reason ?? quietReasonOf(cause) }, { cause })
}
