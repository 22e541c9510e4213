import { promisify } from 'node:util'
import { zstdCompress, zstdDecompressSync } from 'node:zlib'
import { SteleError } from '../errors.ts'
import { form } from './forms.ts'
import { unpack } from './pack.ts'
import { lengthen } from './phrases.ts'

const compress = promisify(zstdCompress)

/** Below this a compressed value is hardly smaller and costs more to make than to keep. */
const worthCompressing = 2_048

/** A value as content travels: one byte that names the form, then the value. */
export function encodeContent(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? encodeText(value) : withForm(form.plain, value)
}

/** The same for repetitive values, such as streams of events: compressed off this thread when that pays. */
export async function encodeCompressed(value: Uint8Array): Promise<Uint8Array> {
  return value.byteLength < worthCompressing
    ? encodeContent(value)
    : withForm(form.zstd, await compress(value))
}

/** What stands where content is not kept; the form alone. */
export function absentContent(): Uint8Array {
  return new Uint8Array([form.absent])
}

export function isAbsent(stored: Uint8Array): boolean {
  return stored[0] === form.absent
}

/** @throws SteleError content_not_kept, content_unreadable */
export function decodeContent(stored: Uint8Array): Buffer {
  const value = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength).subarray(1)
  switch (stored[0]) {
    case form.plain:
      return value
    case form.zstd:
    case form.packed:
      try {
        return stored[0] === form.packed ? unpack(value) : zstdDecompressSync(value)
      } catch (cause) {
        throw new SteleError('content_unreadable', { reason: 'it does not decompress' }, { cause })
      }
    case form.phrased:
      return lengthen(value)
    case form.absent:
      throw new SteleError('content_not_kept')
    default:
      throw new SteleError('content_unreadable', { reason: `form ${stored[0] ?? 'missing'} is unknown` })
  }
}

/** @throws SteleError content_not_kept, content_unreadable */
export function decodeText(stored: Uint8Array): string {
  return decodeContent(stored).toString('utf8')
}

const plainMark = String.fromCharCode(form.plain)

function encodeText(text: string): Uint8Array {
  return Buffer.from(plainMark + text)
}

function withForm(name: number, value: Uint8Array): Uint8Array {
  // Memory of its own, not a piece of the pool: a value that is sent to another thread takes its whole buffer along.
  const stored = new Uint8Array(value.byteLength + 1)
  stored[0] = name
  stored.set(value, 1)
  return stored
}

/** For a reader to whom the facts of a call are worth having without what was said: undefined in its place. */
export function unlessNotKept(error: unknown): undefined {
  if (!(error instanceof SteleError) || error.code !== 'content_not_kept') throw error
}
