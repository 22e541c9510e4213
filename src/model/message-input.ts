import { SteleError } from '../errors.ts'
import { canonicalMessage } from './canonical.ts'
import { type ChatMessage, parseChatRequest } from './chat-request.ts'
import { columnText, givenObject, type JsonObject, lastTime, objectText, wholeNumber } from './json-object.ts'

/** A message that an application adds to a conversation. */
export interface MessageInput {
  /** As in a chat-completions request, or its JSON text, which is then kept to the letter. The role may be any word. */
  readonly message: JsonObject | string
  /** The model that wrote it. */
  readonly model?: string | undefined
  readonly intent?: string | undefined
  /** Nano-US-dollars. */
  readonly costNanousd?: number | undefined
  readonly metadata?: JsonObject | undefined
  /** Milliseconds since 1970; now when left out. */
  readonly createdAt?: number | undefined
}

/** A message that has been checked, in the forms in which it is stored and hashed. */
export interface CheckedMessage {
  readonly role: string
  readonly raw: string
  readonly canonical: string
  readonly model: string | undefined
  readonly intent: string | undefined
  readonly costNanousd: number | undefined
  /** JSON text. */
  readonly metadata: string | undefined
  readonly createdAt: number | undefined
}

/** @throws SteleError invalid_value, invalid_json, json_too_deep, missing_required_parameter, invalid_utf8 */
export function checkedMessage(input: MessageInput, index: number): CheckedMessage {
  const at = `messages[${index}]`
  givenObject(at, input)
  const { role, raw, canonical } = readMessage(input.message, at)
  const { model, intent, costNanousd, metadata, createdAt } = input
  return {
    role,
    raw,
    canonical,
    model: model === undefined ? undefined : columnText(`${at}.model`, model, { least: 1, most: 512 }),
    intent: intent === undefined ? undefined : columnText(`${at}.intent`, intent, { least: 1, most: 512 }),
    costNanousd: costNanousd === undefined ? undefined : wholeNumber(`${at}.costNanousd`, costNanousd, 0),
    metadata: metadata === undefined ? undefined : objectText(`${at}.metadata`, metadata),
    createdAt: createdAt === undefined ? undefined : wholeNumber(`${at}.createdAt`, createdAt, 0, lastTime),
  }
}

/** Read as a request would hold it, with all that is checked of one. */
function readMessage(message: unknown, at: string): Pick<CheckedMessage, 'role' | 'raw' | 'canonical'> {
  const name = `${at}.message`
  const raw =
    typeof message === 'string' ? message.trim() : objectText(name, message, Number.POSITIVE_INFINITY)
  const [read, ...more] = parsed(raw, name)
  if (read === undefined || more.length > 0 || read.raw !== raw)
    throw new SteleError('invalid_value', { name, reason: 'it must be one message' }, { param: name })
  return { role: read.role, raw, canonical: canonicalMessage(read.value) }
}

function parsed(raw: string, name: string): readonly ChatMessage[] {
  try {
    return parseChatRequest(`{"model":"m","messages":[${raw}]}`).messages
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    const param = error.param?.replace(/^messages(\[0\])?/, name) ?? name
    throw new SteleError(error.code, { ...error.details, name: param }, { param })
  }
}
