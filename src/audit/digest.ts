import { hash } from 'node:crypto'

/** The length of a SHA-256 digest, in bytes. */
export const digestLength = 32

/** SHA-256. By way of a string of one byte a character: half the time that a Buffer from Node takes. */
export function sha256(data: string | Uint8Array): Buffer {
  return Buffer.from(hash('sha256', data, 'binary'), 'latin1')
}
