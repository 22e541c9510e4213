import { TypeID, typeidUnboxed } from 'typeid-js'

/**
 * Ids are TypeIDs (https://github.com/jetify-com/typeid, spec 0.3): a prefix naming the kind and a UUIDv7 in
 * Crockford base32, so that plain string order is creation order within a kind.
 */
const idPrefixes = {
  apiKey: 'key',
  audit: 'evt',
  call: 'call',
  conversation: 'conv',
  instance: 'inst',
  message: 'msg',
} as const

export type IdKind = keyof typeof idPrefixes

/** A new id, never lower than one this process made before. */
export function newId(kind: IdKind): string {
  return typeidUnboxed(idPrefixes[kind])
}

const suffix = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/

/** True when `value` is a well-formed id of this kind. */
export function isId(kind: IdKind, value: string): boolean {
  const start = `${idPrefixes[kind]}_`
  return value.startsWith(start) && suffix.test(value.slice(start.length))
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

/** The creation time that an id carries, in milliseconds since 1970. */
export function idTime(id: string): number {
  const bytes = TypeID.fromString(id).toUUIDBytes()
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0) >> 16n)
}
