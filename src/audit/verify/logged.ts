import type { Row } from '../../db/tables.ts'
import { canonicalEvent, commitEvent, logEntry } from '../event-form.ts'
import type { LoggedEvent, LoggedLeaf } from '../log/reader.ts'
import { leafHash } from '../merkle.ts'
import { Fault } from './verdict.ts'

/** Checks an entry of the log against its event. Returns the hash of its leaf. @throws Fault */
export function checkLogged(entry: LoggedEvent, expected: number): Buffer {
  const { index, event, eventId, salt, commitment } = entry
  const place = placeOf(entry)
  if (index !== expected)
    throw new Fault({
      index: expected,
      reason: `the entry is missing: the one that follows is ${index}`,
    })
  if (event === undefined) throw new Fault({ ...place, reason: 'the event is gone' })
  if (!commitEvent(salt, canonicalEvent(event)).equals(commitment))
    throw new Fault({ ...place, reason: 'the event is not the one that the log has taken in' })
  const other = describing.find(name => entry[name] !== event[name])
  if (other !== undefined)
    throw new Fault({ ...place, reason: `the log lists it under another ${other} than the event has` })
  return leafHash(logEntry(eventId, commitment))
}

/** What the log is searched by, beside the user. */
const describing = [
  'action',
  'category',
  'severity',
] as const satisfies readonly (keyof Row<'audit_events'>)[]

/** Where an entry is, in the words of a fault. */
export function placeOf({ index, eventId }: Pick<LoggedLeaf, 'index' | 'eventId'>) {
  return { index, eventId }
}
