import { constants, inflateRawSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import { form } from '../../src/privacy/forms.ts'
import { unpack } from '../../src/privacy/pack.ts'

const most = { maxOutputLength: 8 * 1024 * 1024 }
const cut = { ...most, finishFlush: constants.Z_SYNC_FLUSH }

/** The beginnings of what compressors make, and how to read on from there, whatever follows. */
const beginnings = [
  { start: Buffer.from('28b52ffd', 'hex'), read: (bytes: Buffer) => zstdDecompressSync(bytes, most) },
  ...['7801', '785e', '789c', '78da'].map(start => ({
    start: Buffer.from(start, 'hex'),
    read: (bytes: Buffer) => inflateSync(bytes, cut),
  })),
  // A gzip file names nothing in its head of ten bytes unless it was made of a file.
  { start: Buffer.from('1f8b0800', 'hex'), read: (bytes: Buffer) => inflateRawSync(bytes.subarray(10), cut) },
]

/** Everything in some bytes that anybody could decompress, wherever it begins. */
export function unpackedIn(bytes: Buffer): Buffer[] {
  return beginnings.flatMap(({ start, read }) =>
    placesOf(bytes, start).flatMap(at => attempt(() => read(bytes.subarray(at)))),
  )
}

/** Where in a value of each form what may have been packed begins; its beginning does not show. */
const packedAt: Readonly<Record<number, number>> = { [form.packed]: 1, [form.sealed]: 30, [form.signed]: 34 }

/** What one value of a row holds that shows no beginning; what shows one is found in all of them together. */
export function unpackedValue(value: Buffer): Buffer[] {
  const at = packedAt[value[0] ?? 0]
  return attempt(() => (at === undefined ? inflateRawSync(value, cut) : unpack(value.subarray(at))))
}

function placesOf(bytes: Buffer, needle: Buffer): number[] {
  const places: number[] = []
  for (let at = bytes.indexOf(needle); at !== -1; at = bytes.indexOf(needle, at + 1)) places.push(at)
  return places
}

function attempt(read: () => Buffer): Buffer[] {
  try {
    return [read()]
  } catch {
    return []
  }
}
