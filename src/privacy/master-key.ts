import { hash, randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { flushToDisk } from '../db/flush.ts'
import { reasonOf, SteleError } from '../errors.ts'
import { seal, unseal } from './seal.ts'

/** The key-encryption key: it wraps the keys that are stored in the database and never touches content itself. */
export interface MasterKey {
  /** Names the key without revealing it. */
  readonly id: string
  readonly bytes: Uint8Array
}

const keyLength = 32

/** So many bytes in either alphabet of base64. */
const base64Key = /^[A-Za-z0-9+/_-]{43}=?$/

/** A master key from its base64 form. @throws SteleError master_key_invalid */
export function parseMasterKey(base64: string): MasterKey {
  const text = base64.trim()
  // Node passes over what is no base64: of a sentence, an error message say, enough letters would be left for a key.
  if (!base64Key.test(text))
    throw new SteleError('master_key_invalid', { reason: `it must be ${keyLength} bytes in base64` })
  const bytes = Buffer.from(text, 'base64')
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

/** Makes a key file in `path` that only its owner can read, unless there is one. @throws SteleError master_key_invalid */
export function makeMasterKeyFile(path: string, keys: readonly MasterKey[] = [generateMasterKey()]): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    if (existsSync(path)) return
    const temporary = writeTemporary(path, keys)
    try {
      // A link is refused where the name is taken: processes that start together agree on one key, and find it whole.
      linkSync(temporary, path)
    } finally {
      rmSync(temporary, { force: true })
    }
    // What is sealed from here on needs it: its name must be on the disk as well.
    flushToDisk(dirname(path))
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
    // One file is looked at and read, whatever gets its name meanwhile.
    const handle = openSync(path, 'r')
    try {
      refuseOthers(path, fstatSync(handle))
      const [first = '', ...others] = readFileSync(handle, 'utf8').trim().split('\n')
      return [first, ...others].map(parseMasterKey)
    } finally {
      closeSync(handle)
    }
  } catch (error) {
    if (error instanceof SteleError) throw error
    throw new SteleError(
      'master_key_invalid',
      { reason: `${path} cannot be read: ${reasonOf(error)}` },
      { cause: error },
    )
  }
}

/** @throws SteleError master_key_invalid, when the file is not this user's alone */
function refuseOthers(path: string, { mode, uid }: Stats): void {
  const own = process.geteuid?.()
  if (own === undefined) return
  if ((mode & 0o077) !== 0)
    throw new SteleError('master_key_invalid', { reason: `others can read ${path}; run: chmod 600 ${path}` })
  if (uid !== own && uid !== 0)
    throw new SteleError('master_key_invalid', { reason: `${path} belongs to another user, who can read it` })
}

/**
 * Writes a key file anew, the current key first, in one step: whoever reads it meanwhile finds the old one or the new one, and
 * so does whoever reads it after a power failure. Where `path` is a link, what it leads to is written.
 * @throws SteleError master_key_invalid
 */
export function writeMasterKeyFile(path: string, keys: readonly MasterKey[]): void {
  try {
    const file = realpathSync(path)
    const temporary = writeTemporary(file, keys)
    try {
      renameSync(temporary, file)
    } finally {
      rmSync(temporary, { force: true })
    }
    flushToDisk(dirname(file))
  } catch (error) {
    throw new SteleError(
      'master_key_invalid',
      { reason: `${path} cannot be written: ${reasonOf(error)}` },
      { cause: error },
    )
  }
}

/**
 * Keeps keys that are taken out of the key file `path` in one beside it, from which no key is read: databases in one folder share a key
 * file. Returns its name. @throws SteleError master_key_invalid
 */
export function retireMasterKeys(path: string, keys: readonly MasterKey[]): string {
  const retired = `${path}.retired`
  makeMasterKeyFile(retired, keys)
  const known = readMasterKeyFile(retired)
  const fresh = keys.filter(key => known.every(({ id }) => id !== key.id))
  if (fresh.length > 0) writeMasterKeyFile(retired, [...fresh, ...known])
  return retired
}

/** Writes keys into a file beside `path` that has a name of its own. */
function writeTemporary(path: string, keys: readonly MasterKey[]): string {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.new`
  const text = keys.map(({ bytes }) => `${Buffer.from(bytes).toString('base64')}\n`).join('')
  writeFileSync(temporary, text, { flag: 'wx', mode: 0o600, flush: true })
  return temporary
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
