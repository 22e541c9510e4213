import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { errorBody, SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import { securityHeaders } from './security-headers.ts'

/** How long a client may take to read why it was refused, in milliseconds; then its connection is closed. */
const lingerFor = 5_000

interface Refusal {
  readonly status: string
  readonly error: SteleError
}

/**
 * What answers connections that carry no HTTP, or not all of a request; Node hands over the bare socket.
 * @param unanswered responses that are still to be sent, on any connection
 * @param requestTimeout seconds
 */
export function malformedRefuser(unanswered: ReadonlySet<ServerResponse>, requestTimeout: number) {
  const refused = new WeakSet<Socket>()
  const refuse = (code: string | undefined, socket: Socket): void => {
    const isAnswered = [...unanswered].some(({ req, headersSent }) => req.socket === socket && headersSent)
    if (isAnswered) socket.end()
    else if (socket.writable) socket.end(refusal(refusalOf(code, requestTimeout)))
    const timer = setTimeout(() => socket.destroy(), lingerFor).unref()
    socket.once('close', () => clearTimeout(timer))
  }
  return (error: { code?: string }, socket: Socket): void => {
    // What follows on a connection that is being refused is of no interest.
    if (refused.has(socket)) return
    // Whoever fails to agree on keys could not read a refusal.
    const isHandshake = /^ERR_(SSL|TLS)_/.test(error.code ?? '')
    if (error.code === 'ECONNRESET' || isHandshake || !socket.writable) {
      socket.destroy()
      return
    }
    refused.add(socket)
    // Requests that came whole on this connection before it went wrong get their replies first, and in their place.
    const earlier = [...unanswered].filter(({ req }) => req.socket === socket && req.complete)
    const ends = earlier.map(reply => new Promise(resolve => reply.once('close', resolve)))
    if (ends.length === 0) refuse(error.code, socket)
    else void Promise.all(ends).then(() => refuse(error.code, socket))
  }
}

function refusalOf(code: string | undefined, requestTimeout: number): Refusal {
  const invalid = (reason: string) => new SteleError('invalid_http', { reason })
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: '431 Request Header Fields Too Large',
        error: invalid('The request headers are too large.'),
      }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        status: '408 Request Timeout',
        error: new SteleError('request_timeout', { seconds: requestTimeout }),
      }
    default:
      return { status: '400 Bad Request', error: invalid('The request is not valid HTTP.') }
  }
}

function refusal({ status, error }: Refusal): string {
  const body = JSON.stringify(errorBody(error))
  const head = [
    `HTTP/1.1 ${status}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-stele-call-id: ${newId('call')}`,
    ...Object.entries(securityHeaders).map(([name, value]) => `${name}: ${value}`),
    'connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
