import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { SteleError } from '../errors.ts'
import { countStrings, duplicateName, jsonShape, maxDepth } from './json-shape.ts'

/** Bodies of more values are refused: what they take in memory, and the time to look at them, is many times their size. */
const maxValues = 1_000_000

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

export interface Reading {
  /**
   * Refuses a name that an object has twice, wherever it stands: two readers of such a body, Stele and the provider say,
   * need not take the same one of the two. What is on record somewhere already is read as it is.
   */
  readonly isStrict: boolean
}

/**
 * Reads a body. It is measured before it is parsed.
 * @throws SteleError invalid_utf8, invalid_json, json_too_deep, json_too_large, duplicate_member
 */
export function readObject(body: Uint8Array | string, { isStrict }: Reading = { isStrict: true }): JsonBody {
  // Half a surrogate pair has no UTF-8: what was recorded would not be what was sent.
  if (typeof body === 'string' && !body.isWellFormed()) throw new SteleError('invalid_utf8')
  const text = typeof body === 'string' ? body : decodeUtf8(body)
  const { depth, values, strings } = jsonShape(text, { depth: maxDepth, values: maxValues })
  if (depth > maxDepth) throw new SteleError('json_too_deep', { limit: maxDepth })
  if (values > maxValues) throw new SteleError('json_too_large', { limit: maxValues })
  const value = parseJson(text)
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new SteleError('invalid_json', { reason: 'it must be an object' })
  }
  if (isStrict && countStrings(value) !== strings)
    throw new SteleError('duplicate_member', { name: duplicateName(text) ?? '' })
  return { text, value: value as Record<string, unknown> }
}

/** What a schema makes of a body. @throws SteleError missing_required_parameter, invalid_value */
export function checked<T extends z.ZodType>(schema: T, { value }: JsonBody): z.infer<T> {
  const result = schema.safeParse(value)
  if (!result.success) throw parameterError(result.error, value)
  return result.data
}

/**
 * A list of which only the first wrong element is told: a million wrong ones would be a million errors to hold.
 */
export function listOf<T extends z.ZodType>(element: T) {
  return z.array(z.unknown()).transform((given, context): z.infer<T>[] => {
    const list: z.infer<T>[] = []
    for (const [index, each] of given.entries()) {
      const read = element.safeParse(each)
      if (!read.success) {
        for (const { message, path } of read.error.issues.slice(0, 1))
          context.addIssue({ code: 'custom', message, path: [index, ...path] })
        return z.NEVER
      }
      list.push(read.data)
    }
    return list
  })
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
      reason: whyUnreadable(text),
    })
  }
}

function whyUnreadable(text: string): string {
  if (text.startsWith('\ufeff')) return 'it begins with a byte order mark'
  return text.trim() === '' ? 'it is empty' : 'it cannot be parsed'
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
