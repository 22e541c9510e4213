import { canonicalEvent, commitContent, commitEvent, type EventFacts, logEntry } from '../event-form.ts'
import type { ErasableContent, ExportedEvent } from '../export-line.ts'
import { leafHash } from '../merkle.ts'
import { Fault } from './verdict.ts'

/** The hash of the leaf of an event as it is said to have been. */
export function leafOfEvent(event: EventFacts, salt: Uint8Array): Buffer {
  return leafHash(logEntry(event.id, commitEvent(salt, canonicalEvent(event))))
}

/** Content that is there must be what the event has committed to; content that is gone proves nothing. @throws Fault */
export function checkContent(event: EventFacts, content: ErasableContent | undefined): void {
  if (content === undefined) return
  const { commitment } = event
  if (commitment === null)
    throw new Fault({ reason: 'the event has no content beside it, and some is given' })
  if (!commitContent(content.salt, content.details).equals(commitment))
    throw new Fault({ reason: 'the content beside the event is not what the event has committed to' })
}

/** Checks all that an exported event says of itself, and returns the hash of its leaf. @throws Fault */
export function checkEntry({ event, salt, content, leaf }: ExportedEvent): Buffer {
  const computed = leafOfEvent(event, salt)
  if (leaf !== undefined && !computed.equals(leaf))
    throw new Fault({ reason: 'the event is not the one that the log has taken in' })
  checkContent(event, content)
  return computed
}
