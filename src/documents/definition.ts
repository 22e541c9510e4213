import { z } from 'zod'
import { SteleError } from '../errors.ts'
import { word } from '../model/json-body.ts'
import type { JsonObject } from '../model/json-object.ts'

/** Characters that the definition of a document type may have: schemas of several hundred members, and long prompts. */
const longest = 1_000_000

/** What Stele writes itself, or what would multiply or stream a reply. */
const reserved = [
  'model',
  'messages',
  'n',
  'stream',
  'stream_options',
  'response_format',
  'store',
  'metadata',
  'user',
  'tools',
  'tool_choice',
  'functions',
  'function_call',
  'modalities',
  'audio',
] as const

const schema = z.record(z.string(), z.unknown())
const prompt = z.string().max(longest)
const time = z.iso.datetime({ offset: true })

export const documentTypeSettings = z
  .strictObject({
    /** As it stands in paths, and as providers name the schema. */
    name: z.string().regex(/^[a-z][a-z0-9_-]{0,63}$/i, 'a letter, then letters, digits, _ and -, 64 at most'),
    version: z
      .string()
      .regex(
        /^[a-z0-9][a-z0-9._+-]{0,63}$/i,
        'a letter or digit, then letters, digits, . _ + and -, 64 at most',
      ),
    description: z.string().max(10_000).optional(),
    /** As clients name models. */
    model: word,
    /** What the provider is told beside, as in chat completions: temperature, max_completion_tokens, … */
    parameters: z
      .record(z.string(), z.unknown())
      .refine(
        given => reserved.every(name => !Object.hasOwn(given, name)),
        `it must not hold ${reserved.join(', ')}`,
      )
      .optional(),
    /** Mustache templates over the input. */
    prompt: z.strictObject({ system: prompt.optional(), user: prompt.min(1) }),
    /** JSON Schemas. */
    inputSchema: schema,
    outputSchema: schema,
    /** Whether the provider is to hold the model to the schema to the letter. */
    strict: z.boolean().optional(),
    /** The time within which this version may be used. */
    validFrom: time.optional(),
    validUntil: time.optional(),
  })
  .refine(
    ({ validFrom, validUntil }) =>
      validFrom === undefined || validUntil === undefined || Date.parse(validFrom) < Date.parse(validUntil),
    'validUntil must be after validFrom',
  )

/** A version of a document type: what is taken, what is to come, and how a model is asked for it. */
export type DocumentTypeDefinition = z.input<typeof documentTypeSettings>

/** A definition as it was given by somebody. @throws SteleError document_type_invalid */
export function checkedDefinition(given: unknown): DocumentTypeDefinition {
  const read = documentTypeSettings.safeParse(given)
  if (!read.success) {
    const [issue] = read.error.issues
    const place = issue?.path.map(String).join('.') ?? ''
    throw invalidType(`${place === '' ? '' : `${place}: `}${issue?.message ?? 'not as expected'}`, place)
  }
  return read.data
}

/** The text under which a definition is kept, and by which two are told apart. @throws SteleError document_type_invalid */
export function definitionText(definition: DocumentTypeDefinition): string {
  let text: string
  try {
    text = JSON.stringify(definition)
  } catch {
    throw invalidType('it has no JSON form')
  }
  if (text.length > longest) throw invalidType(`its JSON text may have ${longest} characters`)
  // Not every database can hold it, and none half a surrogate pair.
  if (text.includes('\\u0000') || !text.isWellFormed() || /\\ud[89a-f]/i.test(text))
    throw invalidType('it holds a NUL character or half a surrogate pair')
  return text
}

/** The inverse. */
export function definitionFrom(text: string): DocumentTypeDefinition {
  return JSON.parse(text) as DocumentTypeDefinition & JsonObject
}

/** Why a version is not to be used at `now` (milliseconds since 1970, UTC); undefined when it may be. */
export function whyNotInForce(
  { validFrom, validUntil }: DocumentTypeDefinition,
  now: number,
): string | undefined {
  if (validFrom !== undefined && now < Date.parse(validFrom)) return `it is valid from ${validFrom}`
  if (validUntil !== undefined && now >= Date.parse(validUntil)) return `it was valid until ${validUntil}`
  return undefined
}

export function invalidType(reason: string, param?: string): SteleError {
  return new SteleError(
    'document_type_invalid',
    { reason },
    param === undefined || param === '' ? {} : { param },
  )
}
