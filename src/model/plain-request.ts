import { z } from 'zod'
import { checked, type Reading, readObject, word } from './json-body.ts'
import { type Member, objectMembers } from './json-text.ts'

/** The operations whose requests are passed on as they came and belong to no conversation, by OpenAI's paths. */
export const plainOperations = ['embeddings', 'moderations', 'completions'] as const

export type PlainOperation = (typeof plainOperations)[number]

/** What OpenAI takes when a request for moderation names no model. */
const defaultModerationModel = 'omni-moderation-latest'

/** Only what Stele itself acts on is checked; every other parameter is the provider's business. */
const body = z.looseObject({ model: word, user: z.string().nullish() })
const bodies = {
  embeddings: body,
  moderations: body.extend({ model: word.nullish() }),
  completions: body.extend({ stream: z.boolean().nullish() }),
} as const satisfies Record<PlainOperation, z.ZodType>

/** A request that is no chat: its exact text, and what Stele needs to know of it. */
export interface PlainRequest {
  readonly operation: PlainOperation
  readonly text: string
  readonly value: Readonly<Record<string, unknown>>
  readonly members: readonly Member[]
  readonly model: string
  readonly stream: boolean
  readonly user: string | undefined
}

export function isPlainOperation(name: string | undefined): name is PlainOperation {
  return (plainOperations as readonly (string | undefined)[]).includes(name)
}

/**
 * Reads the body of `POST /v1/embeddings`, `/v1/moderations` or `/v1/completions`; one that is still to be sent strictly.
 * @throws SteleError invalid_utf8, invalid_json, json_too_deep, missing_required_parameter, invalid_value,
 * duplicate_member
 */
export function parsePlainRequest(
  operation: PlainOperation,
  received: Uint8Array | string,
  reading: Reading = { isStrict: false },
): PlainRequest {
  const read = readObject(received, reading)
  const { model, user } = checked(bodies[operation], read)
  return {
    operation,
    ...read,
    members: objectMembers(read.text),
    model: model ?? defaultModerationModel,
    stream: operation === 'completions' && read.value['stream'] === true,
    user: user ?? undefined,
  }
}

/** The request as a provider gets it: the client's own text with the model's name replaced, where that differs. */
export function plainUpstreamBody({ text, members, model: named }: PlainRequest, model: string): string {
  if (model === named) return text
  const member = members.find(({ name }) => name === 'model')
  if (member !== undefined)
    return text.slice(0, member.start) + JSON.stringify(model) + text.slice(member.end)
  const at = text.indexOf('{') + 1
  return `${text.slice(0, at)}"model":${JSON.stringify(model)}${members.length === 0 ? '' : ','}${text.slice(at)}`
}
