import { z } from 'zod'

const maxPairs = 16
const maxKeyLength = 64
const maxValueLength = 512

export type Metadata = Readonly<Record<string, string>>

const record = z.record(z.string(), z.string()).superRefine((given, context) => {
  const refuse = (message: string, path: string[] = []): void =>
    context.addIssue({ code: 'custom', message, path })
  const entries = Object.entries(given)
  if (entries.length > maxPairs) refuse(`it has ${entries.length} pairs; ${maxPairs} are the most`)
  for (const [key, value] of entries) {
    if ([...key].length > maxKeyLength) refuse(`a key is longer than ${maxKeyLength} characters`)
    else if ([...value].length > maxValueLength)
      refuse(`it is longer than ${maxValueLength} characters`, [key])
  }
})

/**
 * What a client keeps with something that it stores, within OpenAI's limits; lengths are in code points. A key that
 * reading would pass over is refused.
 */
export const pairs = z
  .unknown()
  .refine(given => !isObject(given) || !Object.hasOwn(given, '__proto__'), "'__proto__' is no key to be kept")
  .pipe(record)

function isObject(given: unknown): given is object {
  return typeof given === 'object' && given !== null
}

/** The same as a request gives it. */
export const metadata = pairs.nullish()
