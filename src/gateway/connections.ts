import type { Server, ServerResponse } from 'node:http'
import type { Config } from '../config.ts'
import { SteleError } from '../errors.ts'

type Timeouts = Pick<Config, 'requestTimeout' | 'clientTimeout'>

/** Node's own limit for the head of a request, in seconds. */
const headTimeout = 60

/** How the server treats clients that are slow, in the terms of Fastify's options (milliseconds). */
export function connectionOptions({ requestTimeout, clientTimeout }: Timeouts) {
  return {
    requestTimeout: Math.ceil(requestTimeout * 1000),
    /** Without anything read or written; see `endStalled`. Costs no timer of its own for each request. */
    connectionTimeout: Math.ceil(clientTimeout * 1000),
    http: {
      headersTimeout: Math.floor(Math.min(headTimeout, requestTimeout) * 1000),
      connectionsCheckingInterval: Math.round(Math.min(30, Math.max(requestTimeout / 10, 0.1)) * 1000),
    },
  }
}

/** Settles how the server takes requests that are legal but rare. */
export function acceptLegalRequests(server: Server): void {
  // Node would drop what comes after the two thousandth without a word; their size is limited anyway.
  server.maxHeadersCount = 0
  // An expectation that is not known may be ignored (RFC 9110, section 10.1.1); a bare 417 would have no body.
  server.on('checkExpectation', (request, response) => void server.emit('request', request, response))
}

/**
 * Ends a reply that its client has stopped taking. A reply of which nothing waits to be taken is left alone, however
 * long its provider thinks.
 */
export function endStalled(reply: ServerResponse, { clientTimeout }: Pick<Config, 'clientTimeout'>): void {
  reply.on('timeout', () => {
    if (reply.writableLength > 0) reply.destroy(new SteleError('client_stalled', { seconds: clientTimeout }))
  })
}
