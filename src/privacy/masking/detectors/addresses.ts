import { isIP } from 'node:net'
import { follows, isWord, matchAt, type Report } from '../finding.ts'

/** Addresses of mailboxes and machines. */

const localPart = /[\p{L}\p{N}._%+'-]/u
const domain =
  /(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,62})\.){1,8}(?:[a-z]{2,24}|xn--[a-z0-9-]{2,58}|\p{L}{2,24})/iuy

export function findEmails(text: string, report: Report): void {
  for (let at = text.indexOf('@'); at !== -1; at = text.indexOf('@', at + 1)) {
    let start = at
    while (start > 0 && at - start < 64 && isLocal(text, start - 1)) start--
    while (start < at && /[.%+'-]/.test(text.charAt(start))) start++
    if (start === at || text.charAt(at - 1) === '.') continue
    domain.lastIndex = at + 1
    const found = domain.exec(text)?.[0]
    if (found === undefined) continue
    const end = at + 1 + found.length
    // `git@host:path` is where a repository is, not a mailbox.
    if (text.charAt(end) === ':' && text.slice(start, at) === 'git') continue
    report('EMAIL', start, end)
  }
}

function isLocal(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  if (code < 128)
    return (
      isWord(code) || code === 46 || code === 95 || code === 37 || code === 43 || code === 45 || code === 39
    )
  return localPart.test(text.charAt(at))
}

const mac = /[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![0-9a-z]|[:-][0-9a-f])/iy
const dottedMac = /[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?![0-9a-z]|\.[0-9a-f])/iy

/** Addresses of network cards: found from the separators, which are rarer than hexadecimal digits. */
export function findMacAddresses(text: string, report: Report): void {
  for (const [separator, width, pattern] of [
    [':', 2, mac],
    ['-', 2, mac],
    ['.', 4, dottedMac],
  ] as const) {
    for (let at = text.indexOf(separator); at !== -1; at = text.indexOf(separator, at + 1)) {
      const start = at - width
      if (start < 0 || text.charCodeAt(at + width + 1) !== text.charCodeAt(at)) continue
      if (isHexOrJoint(text.charCodeAt(start - 1))) continue
      const found = matchAt(pattern, text, start)
      if (found === undefined || (separator !== ':' && !/\d/.test(found))) continue
      report('MAC_ADDRESS', start, start + found.length)
      at = start + found.length
    }
  }
}

const v6 = /[0-9a-f:]{2,39}(?:(?:\d{1,3}\.){3}\d{1,3})?/iy

/** Addresses of IP version 6; those of version 4 are found with the other numbers. */
export function findIpv6(text: string, report: Report): void {
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) {
    if (!isHex(text.charCodeAt(at + 1)) && text.charAt(at + 1) !== ':') continue
    let start = at
    while (start > 0 && at - start < 5 && isHex(text.charCodeAt(start - 1))) start--
    if (isHexOrJoint(text.charCodeAt(start - 1))) continue
    const found = matchAt(v6, text, start) ?? ''
    const address = found.endsWith(':') && !found.endsWith('::') ? found.slice(0, -1) : found
    const end = start + address.length
    // `a::b` is a name in some languages; an address has a digit, and more than a loopback to tell of.
    const isTelling = address.length >= 5 && /\d/.test(address) && !isWord(text.charCodeAt(end))
    if (isTelling && isIP(address) === 6) report('IP_ADDRESS', start, end)
    at = Math.max(at, start + found.length - 1)
  }
}

function isHex(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 70) || (code >= 97 && code <= 102)
}

/** What goes on into an address from before: a letter, a digit, `:`, `-`, `.`. */
function isHexOrJoint(code: number): boolean {
  return isWord(code) || code === 58 || code === 45 || code === 46
}

const v4 = /(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?![\w]|\.\d|-[a-z])/y
const versionWord =
  /(?:\bv\.?|versions?|release|build|rev(?:ision)?|firmware|driver|chrome|safari|edge|section|chapter|clause|§|paragraph|upgrade(?:d)? (?:to|from)|==|\^|~)[\s/:="']*$/i

/** An address of IP version 4 at a number that begins at `at`; its end. */
export function ipv4At(text: string, at: number): number | undefined {
  v4.lastIndex = at
  const found = v4.exec(text)?.[0]
  // Its own machine is everybody's.
  if (found === undefined || /(?:^|\.)0\d|^127\.|^0\.0\.0\.0/.test(found)) return undefined
  return follows(versionWord, text, at, 24) ? undefined : at + found.length
}
