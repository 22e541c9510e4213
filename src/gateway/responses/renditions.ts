import type { SteleError } from '../../errors.ts'
import type { ResponseEnd } from '../../model/call.ts'
import { isFields, type Reply, readCompletion } from '../../model/reply.ts'
import { ResponseFromChat } from '../../model/responses/from-chat.ts'
import { ResponseFromUpstream } from '../../model/responses/from-upstream.ts'
import type { ResponseObject, Shortfall } from '../../model/responses/response.ts'
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
      return reply
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
  const ended = (): ResponseObject => {
    response ??= made.response(Date.now())
    return response
  }
  return {
    end(error): ResponseEnd | undefined {
      response = made.response(Date.now(), error && shortfallFor(error))
      const { id, status } = response
      return isKept ? { id, status, body: JSON.stringify(response) } : undefined
    },
    ending: recorded => before() + made.ending(recorded ?? ended()),
    whole: () => JSON.stringify(ended()),
  }
}

/** How a response stands that was ended by an error: OpenAI's words for it know only whose fault it was. */
export function shortfallFor({
  code,
  message,
  details,
}: Pick<SteleError, 'code' | 'message' | 'details'>): Shortfall {
  if (code === 'response_cancelled') return { status: 'cancelled' }
  if (code === 'client_closed_request' || code === 'client_stalled') return { status: 'incomplete' }
  const isLimit = code === 'provider_error' && details['status'] === 429
  return { status: 'failed', error: { code: isLimit ? 'rate_limit_exceeded' : 'server_error', message } }
}
