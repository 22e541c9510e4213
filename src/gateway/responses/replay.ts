import { isFields } from '../../model/reply.ts'
import { EventWriter } from '../../model/responses/events.ts'
import { type ResponseObject, unended } from '../../model/responses/response.ts'
import { eventData } from '../../model/sse.ts'
import { isEventStream } from '../../providers/provider.ts'
import type { Stele } from '../../stele.ts'
import { callStore } from '../../store/calls.ts'
import { promptly } from '../../store/contents.ts'
import { inClientsTerms } from '../store-failure.ts'
import { eventsOf } from '../stream-events.ts'
import { chatRendition, upstreamRendition } from './renditions.ts'

interface Recorded {
  readonly userId: string
  /** The call that answered. */
  readonly callId: string
  /** As it ended. */
  readonly response: ResponseObject
  /** As its stream said that it began; when left out, as far as its end tells. */
  readonly begun?: ResponseObject
  readonly showsLogprobs?: boolean
}

/** The events of a response that has ended, as its client got them or would have. */
export async function recordedEvents(
  { database }: Pick<Stele, 'database'>,
  { userId, callId, response, begun = unended(response), showsLogprobs = true }: Recorded,
): Promise<Buffer> {
  const calls = callStore(promptly(database))
  const told = inClientsTerms(database)
  const call = await told(calls.get(userId, callId))
  const body = call && (await told(calls.exactResponse(userId, callId)))
  // Nothing came of it that was told.
  if (call === undefined || body === undefined || response.output.length === 0) return bare(begun, response)
  const options = { isKept: true, showsLogprobs }
  const rendition =
    call.operation === 'responses' ? upstreamRendition(begun, options) : chatRendition(begun, options)
  let events = ''
  if (isEventStream(call.contentType ?? '')) {
    for (const event of eventsOf(body)) {
      const data = eventData(event)
      const value: unknown = data === undefined || data === '[DONE]' ? undefined : parsed(data)
      if (isFields(value) && !rendition.isError(value)) events += rendition.add(value)
    }
  } else if (rendition.addWhole(parsed(body.toString('utf8'))) === undefined) return bare(begun, response)
  return Buffer.from(events + rendition.ending(response))
}

function bare(begun: ResponseObject, response: ResponseObject): Buffer {
  const events = new EventWriter()
  return Buffer.from(events.start(begun) + events.end(response))
}

/** What was broken in a stream has not been told. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The events of `bytes` whose number is higher than `after`. */
export function eventsAfter(bytes: Buffer, after: number | undefined): Buffer {
  if (after === undefined) return bytes
  const later = [...eventsOf(bytes)].filter(event => {
    const value = parsed(eventData(event) ?? '')
    return isFields(value) && typeof value['sequence_number'] === 'number' && value['sequence_number'] > after
  })
  return Buffer.concat(later)
}
