import { type Classifier, storeFailure } from '../store-failure.ts'

type Method = (...given: unknown[]) => unknown

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
