import { newId, responseIdOf } from '../../ids.ts'
import { parseResponseRequest } from '../../model/responses/request.ts'
import { responseInProgress } from '../../model/responses/response.ts'
import type { GatewayRequest } from '../gateway-request.ts'
import { forwardedBody, forwardedResponse } from './ask.ts'
import { upstreamRendition } from './renditions.ts'

/**
 * A request that a provider was asked in the words of Responses, as it stands on record, to be asked once more. What comes of it
 * is a call alone: no response that a client could name. @throws SteleError those of reading it
 */
export function recordedResponseRequest(text: Uint8Array): GatewayRequest {
  const request = parseResponseRequest(text)
  const begun = responseInProgress(responseIdOf(newId('call')), request, Date.now())
  return {
    ...forwardedResponse(request.text),
    // It says that the provider is to keep nothing. What is on record of it may be kept again.
    body: { ...forwardedBody(request, request.text, request.fields.model, []), store: undefined },
    recording: { operation: 'responses' },
    stream: request.stream,
    render: () => upstreamRendition(begun, { isKept: false }),
  }
}
