import type { Server, ServerResponse } from 'node:http'
import type { SecureContextOptions } from 'node:tls'
import type { Config } from '../config.ts'
import { SteleError } from '../errors.ts'

type ConnectionSettings = Pick<Config, 'requestTimeout' | 'clientTimeout' | 'keepAliveTimeout'>

/** Node's own limit for the head of a request, in seconds. */
const headTimeout = 60

/** How long a client may take to agree on keys, in seconds. */
const handshakeTimeout = 10

/** Node's own limit for the headers of a request, in bytes, said here so that nothing else changes it. */
const maxHeaderSize = 16_384

/** How the server treats clients that are slow or send much, in the terms of Fastify's options (milliseconds). */
export function connectionOptions(
  { requestTimeout, clientTimeout, keepAliveTimeout }: ConnectionSettings,
  tls: SecureContextOptions | undefined,
) {
  const http = {
    headersTimeout: Math.floor(Math.min(headTimeout, requestTimeout) * 1000),
    connectionsCheckingInterval: Math.round(Math.min(30, Math.max(requestTimeout / 10, 0.1)) * 1000),
    maxHeaderSize,
    // A request without one is refused in OpenAI's shape.
    requireHostHeader: false,
  }
  const https = { ...http, ...tls, handshakeTimeout: handshakeTimeout * 1000 }
  return {
    requestTimeout: Math.ceil(requestTimeout * 1000),
    /** Without anything read or written; see `endStalled`. Costs no timer of its own for each request. */
    connectionTimeout: Math.ceil(clientTimeout * 1000),
    keepAliveTimeout: Math.ceil(keepAliveTimeout * 1000),
    // Fastify's types make another kind of gateway of one that speaks TLS; nothing here sees the difference.
    ...(tls === undefined ? { http } : ({ https } as unknown as { http: typeof http })),
  }
}

/**
 * Connections beyond so many are closed as they come, by each worker for itself. Without the second property, which
 * Node's types do not know, workers that are full would hand them to each other for ever.
 */
export function limitConnections(server: Server, { maxConnections }: Pick<Config, 'maxConnections'>): void {
  Object.assign(server, { maxConnections, dropMaxConnection: true })
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
