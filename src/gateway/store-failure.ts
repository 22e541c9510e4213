import type { Database } from '../db/database.ts'
import { storeFailure as failureOf } from '../store-failure.ts'

/** Puts a failed reading in the client's terms: a store that does not answer now may do so later. */
export function storeFailure(database: Database, cause: unknown): unknown {
  return failureOf(database, cause, 'it does not answer')
}

/** Gives work on a database that fails, if it does, in the client's terms. */
export function inClientsTerms(database: Database): <T>(work: Promise<T>) => Promise<T> {
  return work =>
    work.catch((cause: unknown) => {
      throw storeFailure(database, cause)
    })
}
