import type { Database } from '../db/database.ts'
import { SteleError } from '../errors.ts'
import { quietReasonOf } from '../quiet-error.ts'

type Classifier = Pick<Database, 'classify'>
type Method = (...given: unknown[]) => unknown

/** Puts what a database has raised in the terms of the library. What it refused for what it is stays as it is. */
export function storeFailure(database: Classifier, cause: unknown): unknown {
  if (cause instanceof SteleError || database.classify(cause) === 'rejected') return cause
  return new SteleError('store_unavailable', { reason: quietReasonOf(cause) }, { cause })
}

/**
 * A part of the library, all of whose methods give promises, as one that raises `store_unavailable` when the database
 * fails or is closed: what the database itself said is the cause.
 */
export function tellingFailures(database: Classifier): <P extends object>(part: P) => P {
  const telling =
    (method: Method): Method =>
    async (...given) => {
      try {
        return await method(...given)
      } catch (cause) {
        throw storeFailure(database, cause)
      }
    }
  return <P extends object>(part: P): P => {
    const members = Object.entries(part).map(([name, member]) => [
      name,
      typeof member === 'function' ? telling(member as Method) : member,
    ])
    return Object.fromEntries(members) as P
  }
}
