import type { SteleError } from '../../errors.ts'
import type { ResponseEnd } from '../../model/call.ts'
import { isFields, type Reply, readCompletion } from '../../model/reply.ts'
import { ResponseFromChat } from '../../model/responses/from-chat.ts'
import { ResponseFromUpstream } from '../../model/responses/from-upstream.ts'
import { tellable } from '../../model/responses/reply.ts'
import { type ResponseObject, type Shortfall, saidOfFailure } from '../../model/responses/response.ts'
import type { Rendition } from '../rendition.ts'

type Fields = Readonly<Record<string, unknown>>

interface Options {
  /** False for a response of which nothing is kept. */
  readonly isKept: boolean
  readonly showsLogprobs: boolean
}

/** A chat completion as a response. */
export function chatRendition(begun: ResponseObject, { isKept, showsLogprobs }: Options): Rendition {
  const made = new ResponseFromChat(begun, { showsLogprobs })
  // Of a reply that came whole: the events that stand before the last.
  let before = ''
  return {
    ...endingOf(made, isKept, () => before),
    add: event => made.add(event),
    addWhole(value) {
      const reply = readCompletion(value)
      if (reply !== undefined && isFields(value)) before = made.addWhole(value)
      return reply?.message === undefined ? reply : { ...reply, message: tellable(reply.message) }
    },
    isError: event => event['error'] != null,
    isEnded: false,
    get isFinished() {
      return made.isFinished
    },
    reply: () => made.reply(),
  }
}

/** A response that its provider made, under Stele's id. */
export function upstreamRendition(begun: ResponseObject, { isKept }: Pick<Options, 'isKept'>): Rendition {
  const made = new ResponseFromUpstream(begun)
  return {
    ...endingOf(made, isKept, () => ''),
    add: event => made.add(event),
    addWhole(value): Reply | undefined {
      const status = isFields(value) ? value['status'] : undefined
      return status === 'completed' || status === 'incomplete' ? made.addWhole(value) : undefined
    },
    isError: ({ type, error }: Fields) =>
      type === 'error' || type === 'response.failed' || (type === undefined && error != null),
    get isEnded() {
      return made.isEnded
    },
    get isFinished() {
      return made.isEnded
    },
    reply: () => made.reply(),
  }
}

interface Made {
  response(endedAt: number, early?: Shortfall): ResponseObject
  ending(response: ResponseObject): string
}

function endingOf(
  made: Made,
  isKept: boolean,
  before: () => string,
): Pick<Rendition, 'end' | 'ending' | 'whole'> {
  let response: ResponseObject | undefined
  let told: unknown
  const ended = (): ResponseObject => {
    response ??= made.response(Date.now())
    return response
  }
  return {
    end(error, said): ResponseEnd | undefined {
      told = said ?? told
      response = made.response(Date.now(), error && shortfallFor(error, told))
      const { id, status } = response
      return isKept ? { id, status, body: JSON.stringify(response) } : undefined
    },
    ending: recorded => before() + made.ending(recorded ?? ended()),
    whole: () => JSON.stringify(ended()),
  }
}

/** Failures of which the provider's own words tell more. What it says of Stele's key is not for clients. */
const quotable: ReadonlySet<string> = new Set([
  'provider_error',
  'provider_invalid_response',
  'provider_stream_truncated',
])

/**
 * How a response stands that was ended by an error. OpenAI's words for it know only whose fault it was, unless the provider
 * has said more.
 * @param said what came from the provider instead of a reply, as JSON
 */
export function shortfallFor(
  { code, message, details }: Pick<SteleError, 'code' | 'message' | 'details'>,
  said?: unknown,
): Shortfall {
  if (code === 'response_cancelled') return { status: 'cancelled' }
  if (code === 'client_closed_request' || code === 'client_stalled') return { status: 'incomplete' }
  const isLimit = code === 'provider_error' && details['status'] === 429
  const own = { code: isLimit ? 'rate_limit_exceeded' : 'server_error', message }
  return { status: 'failed', error: { ...own, ...(quotable.has(code) ? saidOfFailure(said) : {}) } }
}
