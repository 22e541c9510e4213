import { randomFillSync } from 'node:crypto'
import { TypeID } from 'typeid-js'

/**
 * Ids are TypeIDs (https://github.com/jetify-com/typeid, spec 0.3): a prefix naming the kind and a UUIDv7 in
 * Crockford base32, so that plain string order is creation order within a kind.
 */
const idPrefixes = {
  apiKey: 'key',
  audit: 'evt',
  auditQueue: 'audq',
  cacheEntry: 'cache',
  call: 'call',
  conversation: 'conv',
  document: 'doc',
  grant: 'grant',
  instance: 'inst',
  login: 'login',
  message: 'msg',
  response: 'resp',
  searchQueue: 'srch',
  snapshot: 'snap',
} as const

export type IdKind = keyof typeof idPrefixes

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** Two digits at a time: half the steps of one at a time. */
const digitPairs = Array.from({ length: 1024 }, (_, i) => `${alphabet[i >> 5]}${alphabet[i & 31]}`)

const randomNumbers = new Uint16Array(2048)
let randomsUsed = randomNumbers.length

const maxCounter = 0xfff
let time = 0
let timeDigits = ''
let counter = maxCounter

/** A clock set back by less than this is waited for; by more, it had been wrong, and ids made in its name would stay so. */
const longestSetBack = 60_000

/**
 * A new id, higher than every one this thread made before, unless the clock was set back by more than a minute. A call takes
 * half a dozen of them, so they are made here instead of by the library, at a sixth of the cost. The layout is RFC 9562's
 * UUIDv7 with the counter of its section 6.2, method 1: 48 bits of milliseconds, the version, 12 bits of counter, the
 * variant, 62 random bits.
 */
export function newId(kind: IdKind): string {
  const now = Date.now()
  if (now > time || now < time - longestSetBack) startMillisecond(now)
  else if (counter >= maxCounter) startMillisecond(time + 1)
  else counter++
  if (randomsUsed > randomNumbers.length - 8) refill()
  // 10 digits of time; then version 7 and the counter's top bit, 10 bits of it, and its last bit, variant 0b10, 2 random.
  const last = ((counter & 1) << 4) | 0b01000 | (random() & 3)
  return `${idPrefixes[kind]}_${timeDigits}${alphabet[14 | (counter >> 11)]}${pair(counter >> 1)}${alphabet[last]}${pair(random())}${pair(random())}${pair(random())}${pair(random())}${pair(random())}${pair(random())}`
}

function startMillisecond(milliseconds: number): void {
  if (randomsUsed > randomNumbers.length - 8) refill()
  time = milliseconds
  // The lower half, so that there is room to count up within this millisecond.
  counter = random() & 0x7ff
  timeDigits = ''
  for (let rest = time, i = 0; i < 10; i++, rest = Math.floor(rest / 32))
    timeDigits = `${alphabet[rest % 32]}${timeDigits}`
}

function refill(): void {
  randomFillSync(randomNumbers)
  randomsUsed = 0
}

function random(): number {
  return randomNumbers[randomsUsed++] ?? 0
}

function pair(bits: number): string {
  return digitPairs[bits & 0x3ff] ?? ''
}

/** The id of the response that a group of calls is made for: never two for one. @param groupId that of the first of them */
export function responseIdOf(groupId: string): string {
  return `${idPrefixes.response}_${groupId.slice(groupId.indexOf('_') + 1)}`
}

/** The id of the event that tells what was taken of a comparison: never two for one. @param groupId that of its first call */
export function choiceIdOf(groupId: string): string {
  return `${idPrefixes.audit}_${groupId.slice(groupId.indexOf('_') + 1)}`
}

/** The same for a document: it has the name of the first of its calls. */
export function documentIdOf(groupId: string): string {
  return `${idPrefixes.document}_${groupId.slice(groupId.indexOf('_') + 1)}`
}

/** The inverse: the first of the calls that a document is made by. */
export function callIdOfDocument(documentId: string): string {
  return `${idPrefixes.call}_${documentId.slice(documentId.indexOf('_') + 1)}`
}

const suffix = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/

/** True when `value` is a well-formed id of this kind. */
export function isId(kind: IdKind, value: unknown): value is string {
  const start = `${idPrefixes[kind]}_`
  return typeof value === 'string' && value.startsWith(start) && suffix.test(value.slice(start.length))
}

/**
 * The lowest id of a kind that can be made at `time` (milliseconds since 1970, UTC).
 * Range partitions and time-bounded scans use it as a boundary.
 */
export function lowestIdAt(kind: IdKind, time: number): string {
  const bytes = new Uint8Array(16)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(time) << 16n)
  return TypeID.fromUUIDBytes(idPrefixes[kind], bytes).toString()
}

/**
 * The id that always stands for the same thing of another system: its time, and random bits taken from a digest.
 * @param time milliseconds since 1970, UTC
 * @param digest at least 10 bytes, evenly distributed
 */
export function derivedId(kind: IdKind, time: number, digest: Uint8Array): string {
  const bytes = new Uint8Array(16)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(time) << 16n)
  bytes.set(digest.subarray(0, 10), 6)
  // The version and the variant of RFC 9562's UUIDv7.
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f)
  return TypeID.fromUUIDBytes(idPrefixes[kind], bytes).toString()
}

/** The creation time that an id carries, in milliseconds since 1970. */
export function idTime(id: string): number {
  const bytes = TypeID.fromString(id).toUUIDBytes()
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0) >> 16n)
}
