import { hash } from 'node:crypto'
import { z } from 'zod'
import { SteleError } from '../errors.ts'

/** Behind which message the next page begins: the order is by rank, then newest first. */
const last = z.strictObject({ rank: z.number(), createdAt: z.number(), messageId: z.string() })

/** Where the next page begins. */
const position = z.strictObject({
  /** What the query was, so that no page of another is taken for its next. */
  query: z.string(),
  /** The stretch of the index that is under way: from `upTo` to `downTo`; or what is older than `before`. */
  upTo: z.string().optional(),
  before: z.string().optional(),
  downTo: z.string().optional(),
  /** Nothing that is found lies behind that stretch. */
  isLast: z.literal(true).optional(),
  last: last.optional(),
})

export type SearchPosition = z.infer<typeof position>

export type LastHit = z.infer<typeof last>

/** Tells one search from another. */
export function searchFingerprint(...parts: readonly (string | number | undefined)[]): string {
  return hash('sha256', JSON.stringify(parts.map(part => part ?? null)), 'base64url').slice(0, 12)
}

export function writeCursor(value: SearchPosition): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** @throws SteleError invalid_value for one that is none, or of another search */
export function readCursor(text: string, query: string): SearchPosition {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    throw invalid('it is not one of a search.')
  }
  const read = position.safeParse(value)
  if (!read.success) throw invalid('it is not one of a search.')
  if (read.data.query !== query) throw invalid('it is of another search; begin this one without it.')
  return read.data
}

function invalid(reason: string): SteleError {
  return new SteleError('invalid_value', { name: 'cursor', reason }, { param: 'cursor' })
}
