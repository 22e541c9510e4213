import { createPublicKey, type KeyObject } from 'node:crypto'
import { SteleError } from '../errors.ts'
import { fromBase64 } from './base64.ts'
import { digestLength, sha256 } from './digest.ts'

/** Keys of signed notes, C2SP signed-note (https://c2sp.org/signed-note): a name, an algorithm and a public key. */

/** The bytes that name the algorithms: the signature of a note, and the cosignature of a witness (C2SP tlog-cosignature). */
export const noteAlgorithms = { ed25519: 0x01, cosignature: 0x04 } as const

export type NoteAlgorithm = (typeof noteAlgorithms)[keyof typeof noteAlgorithms]

export interface NoteKey {
  readonly name: string
  /** 8 hexadecimal digits. Short: it finds a key, it does not prove one. */
  readonly id: string
  readonly algorithm: NoteAlgorithm
  readonly publicKey: KeyObject
}

/** Names hold neither white space nor a plus sign. */
const nameForm = /^[^\s+\p{Cc}]+$/u

/** Whether a key, and with it the origin of a log, may be called this. */
export function isKeyName(name: string): boolean {
  return nameForm.test(name) && name.isWellFormed()
}

/** SHA-256(name ‖ 0x0A ‖ algorithm ‖ public key), its first 4 bytes, in hexadecimal digits. */
export function keyIdOf(name: string, publicKey: KeyObject, algorithm: NoteAlgorithm = 1): string {
  return hashOf(name, algorithm, rawKey(publicKey))
}

/** A key as text, a vkey: `<name>+<key id>+<base64 of algorithm ‖ public key>`. */
export function formatVkey(name: string, publicKey: KeyObject, algorithm: NoteAlgorithm = 1): string {
  const raw = rawKey(publicKey)
  const material = Buffer.concat([Buffer.of(algorithm), raw]).toString('base64')
  return `${name}+${hashOf(name, algorithm, raw)}+${material}`
}

/** Public keys as text, each once: where one stands twice, its last place counts. @throws SteleError vkey_invalid */
export function parseVkeys(texts: readonly string[]): NoteKey[] {
  return [...new Set(texts.toReversed())].toReversed().map(parseVkey)
}

/** The inverse. @throws SteleError vkey_invalid */
export function parseVkey(vkey: string): NoteKey {
  const [, name = '', id = '', encoded = ''] = /^([^+]*)\+([^+]*)\+(.*)$/s.exec(vkey) ?? []
  const material = fromBase64(encoded)
  if (!isKeyName(name) || !/^[0-9a-f]{8}$/.test(id) || material === undefined)
    throw new SteleError('vkey_invalid', { reason: 'it is not of the form name+id+key' })
  const algorithm = Object.values(noteAlgorithms).find(known => known === material[0])
  if (algorithm === undefined || material.byteLength !== 1 + digestLength)
    throw new SteleError('vkey_invalid', { reason: 'it is no Ed25519 key' })
  const raw = material.subarray(1)
  if (hashOf(name, algorithm, raw) !== id)
    throw new SteleError('vkey_invalid', { reason: 'its id is not that of its name and key' })
  const publicKey = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') },
    format: 'jwk',
  })
  return { name, id, algorithm, publicKey }
}

function hashOf(name: string, algorithm: NoteAlgorithm, raw: Uint8Array): string {
  return sha256(Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(algorithm), raw])).toString('hex', 0, 4)
}

function rawKey(publicKey: KeyObject): Buffer {
  const { crv, x } = publicKey.export({ format: 'jwk' })
  if (crv !== 'Ed25519' || x === undefined) throw new RangeError('Only Ed25519 keys sign notes.')
  return Buffer.from(x, 'base64url')
}
