import type { FastifyReply, FastifyRequest } from 'fastify'
import { SteleError } from '../errors.ts'
import type { NetworkSettings } from '../network-settings.ts'
import { cors } from './cors.ts'
import { hostGuard, isLoopback } from './host-guard.ts'
import { secureTransportHeaders, securityHeaders } from './security-headers.ts'

type Settings = Pick<NetworkSettings, 'corsOrigins' | 'corsCredentials' | 'allowedHosts'> & {
  readonly host: string
}

/** Headers of which two would let two readers of a request take it for different ones. */
const onceOnly: ReadonlySet<string> = new Set(['host', 'authorization', 'content-type'])

/**
 * What every request passes before it is asked whose it is: the headers of its reply are set, requests that are not
 * meant for this gateway or that can be read in two ways are refused, and browsers are told what pages may do.
 * @returns what says whether the request is answered with that. It raises invalid_http, host_not_allowed.
 */
export function frontDoor(
  settings: Settings,
  { isSecure }: { isSecure: boolean },
): (request: FastifyRequest, reply: FastifyReply) => boolean {
  const headers = isSecure && !isLoopback(settings.host) ? secureTransportHeaders : securityHeaders
  const checkHost = hostGuard(settings)
  const share = cors(settings)
  return (request, reply) => {
    reply.headers(headers)
    refuseAmbiguous(request)
    checkHost(request.headers.host)
    return share?.(request, reply) ?? false
  }
}

function refuseAmbiguous({ raw }: FastifyRequest): void {
  const { rawHeaders, httpVersionMinor, headers } = raw
  if (headers.host === undefined && httpVersionMinor > 0)
    throw new SteleError('invalid_http', { reason: 'The request names no Host.' })
  // Whatever else it was encoded with has not been undone here, and may be by somebody in between.
  const encoding = headers['transfer-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'chunked')
    throw new SteleError('invalid_http', {
      reason: 'The request has a transfer-encoding other than chunked.',
    })
  let seen: Set<string> | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    // Lengths of the names above: few others have them.
    if (name.length !== 4 && name.length !== 13 && name.length !== 12) continue
    const lower = name.toLowerCase()
    if (!onceOnly.has(lower)) continue
    seen ??= new Set()
    if (seen.has(lower))
      throw new SteleError('invalid_http', { reason: `The request has two headers ${lower}.` })
    seen.add(lower)
  }
}
