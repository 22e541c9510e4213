import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { SteleError } from '../errors.ts'
import { type Member, nestingDepth, objectMembers } from './json-text.ts'

/** Deeper bodies are refused: nothing real nests so far, and code that walks them recursively must not overflow. */
const maxDepth = 256

/** Kept in a column of its own, where not every database can hold a NUL, and indexed, which not every length can be. */
export const word = z
  .string()
  .min(1)
  .max(512)
  .refine(text => text.isWellFormed(), 'it holds half a surrogate pair')
  .regex(/^[^\0]*$/, 'it holds a NUL character')

/** A request's body: a JSON object, with its exact text beside its meaning. */
export interface JsonBody {
  readonly text: string
  readonly value: Readonly<Record<string, unknown>>
}

/** @throws SteleError invalid_utf8, invalid_json, json_too_deep */
export function readObject(body: Uint8Array | string): JsonBody {
  // Half a surrogate pair has no UTF-8: what was recorded would not be what was sent.
  if (typeof body === 'string' && !body.isWellFormed()) throw new SteleError('invalid_utf8')
  const text = typeof body === 'string' ? body : decodeUtf8(body)
  const value = parseJson(text)
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new SteleError('invalid_json', { reason: 'it must be an object' })
  }
  if (nestingDepth(text) > maxDepth) throw new SteleError('json_too_deep', { limit: maxDepth })
  return { text, value: value as Record<string, unknown> }
}

/** What a schema makes of a body. @throws SteleError missing_required_parameter, invalid_value */
export function checked<T extends z.ZodType>(schema: T, { value }: JsonBody): z.infer<T> {
  const result = schema.safeParse(value)
  if (!result.success) throw parameterError(result.error, value)
  return result.data
}

/** The members of a body, each of `once` at most once. @throws SteleError duplicate_member */
export function membersOf({ text }: JsonBody, once: readonly string[]): Member[] {
  const members = objectMembers(text)
  for (const name of once) {
    if (members.filter(member => member.name === name).length > 1)
      throw new SteleError('duplicate_member', { name })
  }
  return members
}

/** Decodes UTF-8 and refuses what is not: a replacement character would silently change what is recorded. */
function decodeUtf8(body: Uint8Array): string {
  if (!isUtf8(body)) throw new SteleError('invalid_utf8')
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, and a body must not end up in an error or a log.
    throw new SteleError('invalid_json', {
      reason: text.trim() === '' ? 'it is empty' : 'it cannot be parsed',
    })
  }
}

function parameterError(error: z.ZodError, value: Readonly<Record<string, unknown>>): SteleError {
  const issue = error.issues[0]
  const path = issue?.path ?? []
  const name = path
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index ? '.' : ''}${String(step)}`))
    .join('')
  const isMissing =
    path.length > 0 &&
    path.reduce<unknown>(
      (at, step) => (at as Record<PropertyKey, unknown> | null | undefined)?.[step],
      value,
    ) === undefined
  if (isMissing) return new SteleError('missing_required_parameter', { name }, { param: name })
  return new SteleError(
    'invalid_value',
    { name, reason: issue?.message ?? 'not as expected' },
    { param: name },
  )
}
