import type { FastifyRequest } from 'fastify'
import { SteleError } from '../errors.ts'

/** The token of a session as browsers keep it. */

const plainName = 'stele_session'

/** Browsers take a cookie of this name only from the host itself, over TLS. */
const secureName = '__Host-stele_session'

/**
 * The cookie's value; undefined when there is none, or more than one, so that nobody can slip one in. Where it has the name
 * that only the host itself can set, another name is somebody else's: a neighbouring host can set that.
 */
export function cookieToken(request: FastifyRequest): string | undefined {
  const { cookie } = request.headers
  if (cookie === undefined) return undefined
  const expected = nameFor(request)
  const found = cookie.split(';').flatMap(part => {
    const [name, value] = part.trim().split('=', 2)
    return name === expected && value !== undefined && value !== '' ? [value] : []
  })
  return found.length === 1 ? found[0] : undefined
}

/** Has a browser keep a token. @param seconds how long; 0 to forget it */
export function setCookie(request: FastifyRequest, token: string, seconds: number): string {
  const name = nameFor(request)
  const secure = name === secureName ? '; Secure' : ''
  return `${name}=${token}; Path=/; Max-Age=${Math.floor(seconds)}; HttpOnly; SameSite=Strict${secure}`
}

function nameFor(request: FastifyRequest): string {
  const isSecure = request.protocol === 'https' || !isLoopback(request.hostname)
  return isSecure ? secureName : plainName
}

/** On the machine itself nothing is on the wire, and not every browser keeps a secure cookie then. */
function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname) ||
    hostname === '[::1]' ||
    hostname === '::1'
  )
}

const harmless: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Refuses what another site has a browser send with the cookie. A request that changes something must say that it comes
 * from this origin, as every browser does. @throws SteleError cross_origin_request
 */
export function checkSameOrigin(request: FastifyRequest): void {
  if (harmless.has(request.method)) return
  if (!isSameOrigin(request)) throw new SteleError('cross_origin_request')
}

/** Refuses what a browser says to come from elsewhere. Whoever says nothing is no browser. @throws SteleError cross_origin_request */
export function checkNotCrossOrigin(request: FastifyRequest): void {
  const { origin, 'sec-fetch-site': site } = request.headers
  if (origin === undefined && site === undefined) return
  checkSameOrigin(request)
}

function isSameOrigin(request: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers
  if (site !== undefined && site !== 'same-origin') return false
  if (origin === undefined) return site === 'same-origin'
  return URL.parse(origin)?.host === request.host
}
