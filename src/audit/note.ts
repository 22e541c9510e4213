import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { SteleError } from '../errors.ts'
import { fromBase64 } from './base64.ts'
import { keyIdOf, type NoteKey, noteAlgorithms } from './note-keys.ts'

/** Text signed by one or more keys: C2SP signed-note (https://c2sp.org/signed-note), Ed25519 (RFC 8032). */

export interface NoteSigner {
  readonly name: string
  /** An Ed25519 key. */
  readonly privateKey: KeyObject
}

/** @param text ends with a line feed. @returns the text, an empty line, and one line for each signature */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  return `${text}\n${signers.map(signer => signatureLine(text, signer)).join('')}`
}

function signatureLine(text: string, { name, privateKey }: NoteSigner): string {
  const id = Buffer.from(keyIdOf(name, createPublicKey(privateKey)), 'hex')
  const signature = Buffer.concat([id, sign(null, Buffer.from(text), privateKey)])
  return `— ${name} ${signature.toString('base64')}\n`
}

export interface NoteSignature {
  readonly name: string
  /** 8 hexadecimal digits. */
  readonly keyId: string
  /** What follows the key id: how long it is, the algorithm tells. */
  readonly bytes: Buffer
}

export interface ParsedNote {
  /** With the line feed at its end; without the empty line after it. */
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

/** Whoever sends more signatures than a log, its witnesses and their next keys could have, wants to keep a verifier busy. */
const maxSignatures = 100

/** Takes a note apart, and believes nothing of it. @throws SteleError note_invalid */
export function parseNote(note: string): ParsedNote {
  const split = note.lastIndexOf('\n\n')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly those are what must not be in it.
  if (split < 1 || !note.endsWith('\n') || !note.isWellFormed() || /[\0-\x09\x0b-\x1f]/.test(note))
    throw new SteleError('note_invalid', { reason: 'it is no text with signatures below an empty line' })
  const lines = note.slice(split + 2, -1).split('\n')
  if (lines.length > maxSignatures)
    throw new SteleError('note_invalid', { reason: `it has more than ${maxSignatures} signatures` })
  return { text: note.slice(0, split + 1), signatures: lines.map(parseSignature) }
}

function parseSignature(line: string): NoteSignature {
  const [, name, encoded] = /^— ([^\s+]+) (\S+)$/u.exec(line) ?? []
  const bytes = encoded === undefined ? undefined : fromBase64(encoded)
  if (name === undefined || bytes === undefined || bytes.byteLength < 5)
    throw new SteleError('note_invalid', { reason: 'a line below the text is no signature' })
  return { name, keyId: bytes.toString('hex', 0, 4), bytes: bytes.subarray(4) }
}

export interface OpenedNote {
  readonly text: string
  /** The known keys that have signed it: at least one. */
  readonly signedBy: readonly NoteKey[]
}

/**
 * The text of a note that a known key has signed. Signatures of others are left aside; a wrong one of a known key makes
 * all of the note wrong.
 * @throws SteleError note_invalid
 */
export function openNote(note: string, keys: readonly NoteKey[]): OpenedNote {
  const { text, signatures } = parseNote(note)
  const signedBy = new Set<NoteKey>()
  for (const signature of signatures) {
    const key = keys.find(({ name, id }) => name === signature.name && id === signature.keyId)
    if (key === undefined) continue
    if (!isSigned(text, signature, key))
      throw new SteleError('note_invalid', {
        reason: `the signature of ${key.name}+${key.id} is not one of this text`,
      })
    signedBy.add(key)
  }
  if (signedBy.size === 0)
    throw new SteleError('note_invalid', { reason: 'no key that is known has signed it' })
  return { text, signedBy: [...signedBy] }
}

function isSigned(text: string, { bytes }: NoteSignature, { algorithm, publicKey }: NoteKey): boolean {
  if (algorithm === noteAlgorithms.ed25519) return verify(null, Buffer.from(text), publicKey, bytes)
  // C2SP tlog-cosignature: 8 bytes of time, in seconds since 1970, before the signature.
  if (bytes.byteLength !== 72) return false
  const signed = `cosignature/v1\ntime ${bytes.readBigUInt64BE()}\n${text}`
  return verify(null, Buffer.from(signed), publicKey, bytes.subarray(8))
}
