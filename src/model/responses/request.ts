import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { checked, listOf, readObject, word } from '../json-body.ts'
import { type Member, objectMembers } from '../json-text.ts'
import { metadata } from '../metadata.ts'

const text = z
  .string()
  .refine(value => value.isWellFormed(), 'it holds half a surrogate pair')
  .regex(/^[^\0]*$/, 'it holds a NUL character')

const typed = z.looseObject({ type: z.string().min(1) })

const format = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text') }),
  z.looseObject({ type: z.literal('json_object') }),
  z.looseObject({
    type: z.literal('json_schema'),
    name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, 'letters, digits, _ and - only, at most 64'),
    schema: z.record(z.string(), z.unknown()),
    description: z.string().nullish(),
    strict: z.boolean().nullish(),
  }),
])

/** Whatever shapes the request for a model; creating a response and counting its tokens share it. */
const prompt = {
  input: z.union([z.string(), listOf(z.looseObject({}))], 'it must be a text or a list of items').nullish(),
  instructions: z.string().nullish(),
  previous_response_id: z.string().nullish(),
  conversation: z
    .union([z.string(), z.looseObject({ id: z.string() })], "it must be an id or an object with an 'id'")
    .nullish(),
  tools: listOf(typed).nullish(),
  tool_choice: z
    .union([z.enum(['none', 'auto', 'required']), typed], 'it must be a mode or an object with a type')
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z
    .looseObject({ format: format.nullish(), verbosity: z.enum(['low', 'medium', 'high']).nullish() })
    .nullish(),
  reasoning: z
    .looseObject({
      effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']).nullish(),
      summary: z.enum(['auto', 'concise', 'detailed']).nullish(),
    })
    .nullish(),
  truncation: z.enum(['auto', 'disabled']).nullish(),
}

const creation = z.looseObject({
  model: word,
  ...prompt,
  stream: z.boolean().nullish(),
  store: z.boolean().nullish(),
  background: z.boolean().nullish(),
  metadata,
  include: listOf(z.string()).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  max_tool_calls: z.int().min(1).nullish(),
  service_tier: z.enum(['auto', 'default', 'flex', 'scale', 'priority', 'fast', 'ultrafast']).nullish(),
  user: text.nullish(),
  safety_identifier: text.max(64).nullish(),
  prompt_cache_key: text.nullish(),
  stream_options: z.looseObject({ include_obfuscation: z.boolean().nullish() }).nullish(),
})

const count = z.looseObject({ model: word.nullish(), ...prompt })

export type ResponseFields = z.infer<typeof creation>

/** What of a request tells a model what to do. */
export type PromptFields = z.infer<typeof count>

/** A request to create a response, with its exact text beside its meaning. */
export interface ResponseRequest {
  readonly text: string
  readonly members: readonly Member[]
  readonly fields: ResponseFields
  /** The id of the conversation that it names. */
  readonly conversationId: string | undefined
  readonly previousResponseId: string | undefined
  readonly stream: boolean
  readonly store: boolean
  readonly background: boolean
}

/**
 * Reads the body of `POST /v1/responses`.
 * @throws SteleError invalid_utf8, invalid_json, json_too_deep, missing_required_parameter, invalid_value,
 * duplicate_member
 */
export function parseResponseRequest(body: Uint8Array | string): ResponseRequest {
  const read = readObject(body)
  const fields = checked(creation, read)
  refuseBothStates(fields)
  const members = objectMembers(read.text)
  const background = fields.background === true
  const store = fields.store !== false
  if (background && !store) throw invalid('background', "it needs 'store': its reply is fetched later")
  return {
    text: read.text,
    members,
    fields,
    conversationId: conversationOf(fields),
    previousResponseId: fields.previous_response_id ?? undefined,
    stream: fields.stream === true,
    store,
    background,
  }
}

/** Reads the body of `POST /v1/responses/input_tokens`. @throws the same */
export function parseCountRequest(body: Uint8Array | string): PromptFields {
  const fields = checked(count, readObject(body))
  refuseBothStates(fields)
  return fields
}

/** The id of the conversation that a request names. */
export function conversationOf({ conversation }: PromptFields): string | undefined {
  if (conversation == null) return undefined
  return typeof conversation === 'string' ? conversation : conversation.id
}

function refuseBothStates({ previous_response_id: previous, conversation }: PromptFields): void {
  if (previous != null && conversation != null)
    throw invalid('previous_response_id', "it cannot be used together with 'conversation'")
}

/** @param name the parameter at fault */
export function invalid(name: string, reason: string): SteleError {
  return new SteleError('invalid_value', { name, reason }, { param: name })
}
