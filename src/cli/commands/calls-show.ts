import { isFields } from '../../model/reply.ts'
import { unlessNotKept } from '../../privacy/content.ts'
import type { Stele } from '../../stele.ts'
import type { Call } from '../../store/calls.ts'
import { attemptTable } from '../attempt-table.ts'
import { Failure } from '../failure.ts'
import { messageText, speakerOf } from '../message-text.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteReading } from '../operator.ts'
import { outputWidth, write, writeJson } from '../output.ts'
import { printableText } from '../printable.ts'
import { toRecord } from '../record.ts'
import { replyMessages } from '../reply-messages.ts'
import { formatFacts } from '../table.ts'
import { attemptText, costText, countText, none, notKept, timeText } from '../values.ts'

export interface ShowCallOptions extends GlobalOptions {
  readonly user?: string
  readonly request?: boolean
  readonly sent?: boolean
  readonly response?: boolean
  readonly group?: boolean
  readonly json?: boolean
}

type Fields = Readonly<Record<string, unknown>>

/**
 * Shows a call; with `request`, `sent` or `response` writes its exact bytes and nothing else, with `group` lists the calls that
 * were made for the same request.
 */
export async function showCall(id: string, options: ShowCallOptions): Promise<void> {
  const { user, request, sent, response, group, json } = options
  await withStele(options, async stele => {
    const { calls } = stele
    const call = await (user === undefined ? calls.find(id) : calls.get(user, id))
    if (call === undefined)
      throw new Failure(`There is no call '${id}'${user === undefined ? '' : ` of '${user}'`}.`)
    if (group === true) {
      const members = await calls.group(call.userId, id)
      return json === true ? writeJson(members.map(toRecord)) : write(attemptTable(members, outputWidth()))
    }
    await noteReading(stele, { userId: call.userId, target: id, command: 'calls show' }, options)
    if (request === true) return write(await calls.exactRequest(call.userId, id))
    if (sent === true) return write(await sentRequest(calls, call))
    if (response === true) return write(await exactResponse(calls, call))
    const said = await whatWasSaid(calls, call)
    return json === true ? writeJson({ ...toRecord(call), ...said }) : write(textOf(call, said))
  })
}

async function sentRequest(calls: Stele['calls'], { userId, id }: Call): Promise<Buffer> {
  const body = await calls.sentRequest(userId, id)
  if (body !== undefined) return body
  throw new Failure(`The prompts of the call ${id} were not compressed: see --request.`)
}

async function exactResponse(calls: Stele['calls'], { userId, id, status }: Call): Promise<Buffer> {
  const body = await calls.exactResponse(userId, id)
  if (body !== undefined) return body
  throw new Failure(
    status === 'pending'
      ? `The call ${id} has no reply yet.`
      : `The call ${id} (${status}) was recorded without the bytes of a reply.`,
  )
}

interface Said {
  /** Null when nothing of what was said was kept. */
  readonly request: unknown
  /** The body of the reply: parsed when it is JSON, else as text, null when there is none. */
  readonly response: unknown
  /** The messages the reply amounts to, one a choice, streams put together. */
  readonly reply: readonly Fields[]
}

async function whatWasSaid(calls: Stele['calls'], call: Call): Promise<Said> {
  const request = await calls.exactRequest(call.userId, call.id).catch(unlessNotKept)
  const body = await calls.exactResponse(call.userId, call.id).catch(unlessNotKept)
  if (request === undefined && body === undefined) return { request: null, response: null, reply: [] }
  const fromBody = body === undefined ? [] : replyMessages(body, call.contentType)
  const reply =
    fromBody.length > 0
      ? fromBody.map(message => ({ role: 'assistant', ...message }))
      : await recordedReply(calls, call)
  return {
    request: request === undefined ? null : jsonOrText(request),
    response: body === undefined ? null : jsonOrText(body),
    reply,
  }
}

/** The reply as the conversation has it, for calls that were made elsewhere and came without their bytes. */
async function recordedReply(calls: Stele['calls'], { userId, id }: Call): Promise<Fields[]> {
  const message = await calls.replyMessage(userId, id)
  return message === undefined ? [] : [JSON.parse(message) as Fields]
}

function textOf(call: Call, { request, response, reply }: Said): string {
  if (request === null && reply.length === 0)
    return `${formatFacts(factsOf(call))}\n\n── content ──\n${notKept}\n`
  const { messages, ...parameters } = isFields(request) ? request : {}
  const asked = Array.isArray(messages) ? messages.filter(isFields) : []
  const unread =
    reply.length === 0 && response !== null ? [`── reply ──\n${printableText(asText(response))}\n`] : []
  return [
    `${formatFacts(factsOf(call))}\n`,
    request === null
      ? `── request ──\n${notKept}\n`
      : `── parameters ──\n${printableText(JSON.stringify(parameters, null, 2))}\n`,
    ...asked.map((message, index) => messageText(`${index} ${speakerOf(message)}`, message)),
    ...reply.map((message, index) =>
      messageText(`reply${reply.length > 1 ? ` ${index}` : ''}: ${speakerOf(message)}`, message),
    ),
    ...unread,
  ].join('\n')
}

function factsOf(call: Call): [string, string][] {
  return [
    ['call', call.id],
    ['user', call.userId],
    ['conversation', call.conversationId || none],
    ['key', call.apiKeyId ?? none],
    ['status', [call.status, call.httpStatus].filter(each => each !== undefined).join(' ')],
    ['provider', call.provider],
    ['model', [call.requestModel, call.responseModel].filter(each => each !== undefined).join(' → ')],
    ['operation', call.operation],
    ['compression', call.compression ?? none],
    ['attempt', attemptText(call)],
    ['group', call.groupId],
    ['created', timeText(call.createdAt)],
    ['settled', timeText(call.settledAt)],
    ['finish reasons', call.finishReasons.join(', ') || none],
    ['input tokens', `${countText(call.inputTokens)} (${countText(call.cacheReadInputTokens)} from cache)`],
    ['output tokens', `${countText(call.outputTokens)} (${countText(call.reasoningOutputTokens)} reasoning)`],
    ['counted by', call.usageSource ?? none],
    ['cost', costText(call.costNanousd)],
    ...savingsOf(call),
    ['latency', call.latencyMs === undefined ? none : `${call.latencyMs} ms`],
    ['first chunk', call.timeToFirstChunkMs === undefined ? none : `${call.timeToFirstChunkMs} ms`],
    ...(call.errorCode === undefined
      ? []
      : [['error', `${call.errorCode}: ${call.errorMessage ?? ''}`] as [string, string]]),
  ]
}

/** What a call did not take that was answered from the cache. */
function savingsOf({
  cacheHit,
  savedInputTokens,
  savedOutputTokens,
  savedNanousd,
}: Call): [string, string][] {
  if (cacheHit === undefined) return []
  const tokens = `${countText(savedInputTokens)} input, ${countText(savedOutputTokens)} output`
  return [
    ['cache hit', cacheHit],
    ['saved tokens', tokens],
    ['saved cost', costText(savedNanousd)],
  ]
}

function jsonOrText(bytes: Buffer): unknown {
  const text = bytes.toString('utf8')
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2)
}
