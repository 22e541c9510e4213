import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

/**
 * Secrets that Stele makes: a start that says what they are (so that scanners find leaked ones), 256 random bits, and a
 * checksum, so that a mistyped one is known as such without a look at the database.
 */

const randomBytesOfToken = 32
const checksumLength = 6

/** Of all tokens that were made with a checksum. */
const withChecksum = /^[\w-]{49}$/

/** A new secret. */
export function newToken(start: string): string {
  const body = start + randomBytes(randomBytesOfToken).toString('base64url')
  return body + checksumOf(body)
}

/** False only of what Stele cannot have made: it has the start and the length, and another checksum. */
export function mayBeToken(start: string, token: string): boolean {
  if (!token.startsWith(start) || !withChecksum.test(token.slice(start.length))) return true
  return checksumOf(token.slice(0, -checksumLength)) === token.slice(-checksumLength)
}

/** Whether a token has the form of those that Stele makes. */
export function isOwnToken(start: string, token: string): boolean {
  return token.startsWith(start) && withChecksum.test(token.slice(start.length)) && mayBeToken(start, token)
}

/** What is kept of a secret that Stele made: it has too many random bits to be found from that. */
export function hashToken(token: string): string {
  return hash('sha256', token, 'base64url')
}

/** Compares two hashes in a time that does not tell where they differ. */
export function isSameHash(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}

function checksumOf(text: string): string {
  return crc32(text).toString(36).padStart(7, '0').slice(-checksumLength)
}
