import { hash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { reasonOf, SteleError } from '../errors.ts'
import { seal, unseal } from './seal.ts'

/** The key-encryption key: it wraps the keys that are stored in the database and never touches content itself. */
export interface MasterKey {
  /** Names the key without revealing it. */
  readonly id: string
  readonly bytes: Uint8Array
}

const keyLength = 32

/** A master key from its base64 form. @throws SteleError master_key_invalid */
export function parseMasterKey(base64: string): MasterKey {
  const bytes = Buffer.from(base64.trim(), 'base64')
  if (bytes.byteLength !== keyLength) {
    throw new SteleError('master_key_invalid', { reason: `it must be ${keyLength} bytes in base64` })
  }
  return {
    id: hash('sha256', Buffer.concat([Buffer.from('stele master key id'), bytes])).slice(0, 16),
    bytes,
  }
}

/** A random master key. */
export function generateMasterKey(): MasterKey {
  return parseMasterKey(randomBytes(keyLength).toString('base64'))
}

/** The key file of a database whose keys belong in this folder. */
export function masterKeyPath(folder: string): string {
  return join(folder, 'master.key')
}

/** Makes a key in `path` that only its owner can read, unless there is one. @throws SteleError master_key_invalid */
export function makeMasterKeyFile(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    // 'wx' fails when the file is there, so two processes that start together agree on one key.
    const key = Buffer.from(generateMasterKey().bytes).toString('base64')
    writeFileSync(path, `${key}\n`, { flag: 'wx', mode: 0o600, flush: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
    throw new SteleError(
      'master_key_invalid',
      { reason: `${path} cannot be made: ${reasonOf(error)}` },
      { cause: error },
    )
  }
}

/**
 * Reads the keys in `path`, one a line: the current one, then those that it takes the place of.
 * @throws SteleError master_key_invalid, when others can read it too
 */
export function readMasterKeyFile(path: string): MasterKey[] {
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
      throw new SteleError('master_key_invalid', {
        reason: `others can read ${path}; run: chmod 600 ${path}`,
      })
    }
    const [first = '', ...others] = readFileSync(path, 'utf8').trim().split('\n')
    return [first, ...others].map(parseMasterKey)
  } catch (error) {
    if (error instanceof SteleError) throw error
    throw new SteleError(
      'master_key_invalid',
      { reason: `${path} cannot be read: ${reasonOf(error)}` },
      { cause: error },
    )
  }
}

/**
 * Writes a key file anew, the current key first, in one step: whoever reads it meanwhile finds the old one or the new one.
 * @throws SteleError master_key_invalid
 */
export function writeMasterKeyFile(path: string, keys: readonly MasterKey[]): void {
  const temporary = `${path}.${process.pid}.new`
  try {
    const text = keys.map(({ bytes }) => `${Buffer.from(bytes).toString('base64')}\n`).join('')
    writeFileSync(temporary, text, { flag: 'wx', mode: 0o600, flush: true })
    renameSync(temporary, path)
  } catch (error) {
    throw new SteleError(
      'master_key_invalid',
      { reason: `${path} cannot be written: ${reasonOf(error)}` },
      { cause: error },
    )
  }
}

/** Wraps a secret. `purpose` is bound in, so a wrapped key cannot change roles. */
export function wrapKey(master: MasterKey, purpose: string, secret: Uint8Array): Uint8Array {
  return seal(master.bytes, purpose, secret)
}

/** @throws SteleError master_key_mismatch */
export function unwrapKey(master: MasterKey, purpose: string, wrapped: Uint8Array): Buffer {
  try {
    return unseal(master.bytes, purpose, wrapped)
  } catch (cause) {
    throw new SteleError('master_key_mismatch', {}, { cause })
  }
}
