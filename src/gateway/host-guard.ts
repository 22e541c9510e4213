import { isIP } from 'node:net'
import { SteleError } from '../errors.ts'
import type { NetworkSettings } from '../network-settings.ts'

/** Names that nobody can have resolved to somewhere else. The last is what containers call the machine they run on. */
const loopbackNames = ['localhost', '*.localhost', 'host.docker.internal']

/** Characters of a name that an error shows. */
const longestShown = 100

/** Whether an address to listen on is reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/**
 * Refuses requests for other names than the gateway's. A web page can have its own name resolve to 127.0.0.1, and then
 * reach what listens there as its own origin; but the name stays in its requests. An address is nobody's trick.
 * @returns what takes the Host header. It raises host_not_allowed.
 */
export function hostGuard({
  host,
  allowedHosts,
}: Pick<NetworkSettings, 'allowedHosts'> & { readonly host: string }): (given: string | undefined) => void {
  if (allowedHosts === undefined && !isLoopback(host)) return () => undefined
  const names = new Set([...loopbackNames, host, ...(allowedHosts ?? [])].map(name => name.toLowerCase()))
  if (names.has('*')) return () => undefined
  const suffixes = [...names].filter(name => name.startsWith('*.')).map(name => name.slice(1))
  /** What was let in before: clients use few names, and each with every request. */
  let known: string | undefined
  return given => {
    // HTTP/1.0 may leave it out; no browser does.
    if (given === undefined || given === known) return
    const name = given.replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase()
    const isAllowed =
      names.has(name) ||
      isIP(name) !== 0 ||
      isIP(name.replace(/^\[(.*)\]$/, '$1')) === 6 ||
      suffixes.some(suffix => name.endsWith(suffix) && name.length > suffix.length)
    if (!isAllowed) throw new SteleError('host_not_allowed', { host: given.slice(0, longestShown) })
    known = given
  }
}
