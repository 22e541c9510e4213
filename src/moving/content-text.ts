import { isUtf8 } from 'node:buffer'
import type { Content } from './export-format.ts'

/** Bytes as a line holds them: as text where they are text. */
export function toContent(bytes: Uint8Array): Content {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(bytes) ? buffer.toString('utf8') : { base64: buffer.toString('base64') }
}

/** The inverse: text stays text. */
export function fromContent(content: Content): string | Buffer {
  return typeof content === 'string' ? content : Buffer.from(content.base64, 'base64')
}
