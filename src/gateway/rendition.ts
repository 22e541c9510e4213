import type { SteleError } from '../errors.ts'
import type { ResponseEnd } from '../model/call.ts'
import type { Reply } from '../model/reply.ts'
import type { ResponseObject } from '../model/responses/response.ts'

/** A provider's reply as it is read, and put in the form that its client asked for. One for each call. */
export interface Rendition {
  /** Takes an event of the provider's stream; returns what its client gets for it, '' for nothing. */
  add(event: Readonly<Record<string, unknown>>): string
  /** Takes a reply that came whole; undefined when it is not what was asked for. */
  addWhole(value: unknown): Reply | undefined
  /** Whether an event tells of an error. */
  isError(event: Readonly<Record<string, unknown>>): boolean
  /** True once the last event has come. */
  readonly isEnded: boolean
  /** True once the reply is whole. */
  readonly isFinished: boolean
  /** What came so far. */
  reply(): Reply
  /** What is recorded of how it ended; undefined when nothing is. @param error why it ended before its time @param said what its provider said of that, as JSON */
  end(error?: SteleError, said?: unknown): ResponseEnd | undefined
  /** What the client gets last in a stream, once that is on record. @param recorded as it is on record, when not by `end` */
  ending(recorded?: ResponseObject): string
  /** All that a client gets who asked for no stream. */
  whole(): string
}
