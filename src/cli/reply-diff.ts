import { type JsonDifference, jsonDiff } from '../model/json-diff.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { type AssistantMessage, isFields } from '../model/reply.ts'
import { type Stretch, textDiff } from '../model/sequence-diff.ts'
import { replyMessages } from './reply-messages.ts'

/** A recorded reply. */
export interface RecordedReply {
  readonly body: Uint8Array | undefined
  readonly contentType: string | undefined
}

/** What differs between two replies, in every part in which anything does. */
export interface ReplyDiff {
  readonly isSame: boolean
  readonly parts: readonly PartDiff[]
}

/** A part of a reply by its name: its text word by word, or a JSON value place by place. */
export type PartDiff =
  | { readonly name: string; readonly kind: 'text'; readonly stretches: readonly Stretch[] }
  | { readonly name: string; readonly kind: 'json'; readonly differences: readonly JsonDifference[] }

/**
 * Compares what two replies say. Texts that are both JSON objects or lists are compared as such, calls of tools without their ids,
 * which are new each time; so are replies that are no chat, without what names them.
 */
export function replyDiff(before: RecordedReply, after: RecordedReply): ReplyDiff {
  const [old, fresh] = [messagesOf(before), messagesOf(after)]
  const count = Math.max(old.length, fresh.length)
  const parts =
    count === 0
      ? compared('reply', wholeOf(before), wholeOf(after))
      : Array.from({ length: count }, (_, index) =>
          messageDiff(count === 1 ? '' : `choice ${index}: `, old[index], fresh[index]),
        ).flat()
  return { isSame: parts.length === 0, parts }
}

function messagesOf({ body, contentType }: RecordedReply): AssistantMessage[] {
  return body === undefined ? [] : replyMessages(body, contentType)
}

function messageDiff(
  prefix: string,
  before: AssistantMessage | undefined,
  after: AssistantMessage | undefined,
): PartDiff[] {
  return [
    ...said(`${prefix}text`, before?.content, after?.content),
    ...said(`${prefix}refusal`, before?.refusal, after?.refusal),
    ...compared(`${prefix}tool calls`, toolsOf(before), toolsOf(after)),
  ]
}

function said(name: string, before: string | null | undefined, after: string | null | undefined): PartDiff[] {
  const [old, fresh] = [before ?? '', after ?? '']
  if (old === fresh) return []
  const [a, b] = [structureOf(old), structureOf(fresh)]
  if (a !== undefined && b !== undefined) {
    const differences = jsonDiff(a, b)
    // The same value in another spelling is told by its text.
    if (differences.length > 0) return [{ name, kind: 'json', differences }]
  }
  return [{ name, kind: 'text', stretches: textDiff(old, fresh) }]
}

function compared(name: string, before: unknown, after: unknown): PartDiff[] {
  if (typeof before === 'string' && typeof after === 'string') return said(name, before, after)
  const differences = jsonDiff(before, after)
  return differences.length === 0 ? [] : [{ name, kind: 'json', differences }]
}

function structureOf(text: string): unknown {
  const value = maybeJson(text)
  return typeof value === 'object' && value !== null ? value : undefined
}

/** Calls of tools, by what they ask for. */
function toolsOf(message: AssistantMessage | undefined): unknown[] {
  const calls = [...(message?.tool_calls ?? []), ...(message?.function_call ? [message.function_call] : [])]
  return calls.map(call => {
    if (!isFields(call)) return call
    const { id: _, index: __, ...rest } = call
    const { function: asked } = rest
    return isFields(asked) ? { ...rest, function: withArguments(asked) } : withArguments(rest)
  })
}

function withArguments(asked: Readonly<Record<string, unknown>>): object {
  const { arguments: given } = asked
  const value = typeof given === 'string' ? structureOf(given) : undefined
  return value === undefined ? asked : { ...asked, arguments: value }
}

const naming: ReadonlySet<string> = new Set(['id', 'created', 'model', 'usage', 'system_fingerprint'])

/** A reply that is no chat: JSON without what names it, or text. */
function wholeOf({ body }: RecordedReply): unknown {
  if (body === undefined) return ''
  const text = Buffer.from(body).toString('utf8')
  const value = maybeJson(text)
  if (!isFields(value)) return value ?? text
  return Object.fromEntries(Object.entries(value).filter(([name]) => !naming.has(name)))
}
