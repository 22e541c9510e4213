import { createCipheriv, createDecipheriv, createHmac, randomFillSync, timingSafeEqual } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import type { ContentMode } from '../db/batch.ts'
import { SteleError } from '../errors.ts'
import { absentContent, decodeContent } from './content.ts'
import { commitmentLength, type DataKey } from './data-key.ts'
import { form } from './forms.ts'
import { pack } from './pack.ts'
import { shorten } from './phrases.ts'

/** How a value is kept: encrypted; as a digest alone; or readable by everyone who has the database, but not changeable. */
export const contentModes = ['encrypted', 'hashed', 'plain'] as const satisfies readonly ContentMode[]

export function isContentMode(value: unknown): value is ContentMode {
  return (contentModes as readonly unknown[]).includes(value)
}

/** Where a value stands. One that stands elsewhere does not open. */
export interface ContentPlace {
  readonly userId: string
  readonly table: string
  readonly column: string
  /** The values of the row's primary key, in its order. */
  readonly row: readonly (string | number)[]
}

const ivLength = 12
const tagLength = 16
const macLength = 16
const headLength = 1 + commitmentLength

/** Shorter values shrink too little for what that costs; beyond the second bound the larger window of zstd pays for its set-up. */
const worthPacking = 320
const worthZstd = 8_192

/** The same of phrases; and what share of a value may be left for them to be the better choice. */
const worthShortening = 24
const longestFrame = 2_048
const wellShortened = 0.6
const roleStart = 'r'.charCodeAt(0)

/** Content as it is stored in `place`. `value` is in one of the forms that content travels in. */
export function sealContent(
  key: DataKey,
  mode: ContentMode,
  place: ContentPlace,
  value: Uint8Array,
): Uint8Array {
  if (value[0] === form.absent) return value
  if (mode === 'plain') return sign(form.signed, key, place, value)
  if (mode === 'hashed') return sign(form.digest, key, place, digestOf(key, value))
  const inner = compressed(value)
  const stored = Buffer.allocUnsafeSlow(headLength + ivLength + inner.byteLength + tagLength)
  stored[0] = form.sealed
  stored.set(key.commitment, 1)
  const iv = nextIv()
  stored.set(iv, headLength)
  const cipher = createCipheriv('aes-256-gcm', key.encryption, iv, { authTagLength: tagLength })
  cipher.setAAD(associatedData(form.sealed, place))
  stored.set(cipher.update(inner), headLength + ivLength)
  cipher.final()
  stored.set(cipher.getAuthTag(), stored.byteLength - tagLength)
  return stored
}

/**
 * The id of the key that a stored value needs; undefined when it needs none. @throws SteleError content_unreadable
 */
export function keyIdOf(stored: Uint8Array): string | undefined {
  switch (stored[0]) {
    case form.sealed:
    case form.signed:
    case form.digest:
      if (stored.byteLength < headLength) throw unreadable('it is cut short')
      return view(stored).toString('hex', 1, headLength)
    case form.absent:
    case form.plain:
    case form.zstd:
      return undefined
    default:
      throw unreadable(`form ${stored[0] ?? 'missing'} is unknown`)
  }
}

/** How a stored value is kept; undefined when nothing of it is. What is from before encryption counts as encrypted. */
export function modeOf(stored: Uint8Array): ContentMode | undefined {
  if (stored[0] === form.absent) return undefined
  if (stored[0] === form.signed) return 'plain'
  return stored[0] === form.digest ? 'hashed' : 'encrypted'
}

/**
 * The inverse of `sealContent`: a value in one of the forms that content travels in, `absent` for a digest.
 * @param key the one that `keyIdOf` names
 * @param acceptsOld whether the database has content from before it was encrypted
 * @throws SteleError content_unreadable when the value was changed, cut or moved, or is not authenticated
 */
export function openContent(
  key: DataKey | undefined,
  place: ContentPlace,
  stored: Uint8Array,
  acceptsOld: boolean,
): Uint8Array {
  switch (stored[0]) {
    case form.absent:
      if (stored.byteLength === 1) return stored
      throw unreadable('it was changed')
    case form.plain:
    case form.zstd:
      if (acceptsOld) return stored
      throw unreadable('it is not encrypted, as content of this database is')
    case form.sealed:
      return decrypt(fitting(key, place, stored), place, view(stored))
    case form.signed:
      return checked(form.signed, fitting(key, place, stored), place, view(stored))
    case form.digest:
      checked(form.digest, fitting(key, place, stored), place, view(stored))
      return absentContent()
    default:
      throw unreadable(`form ${stored[0] ?? 'missing'} is unknown`)
  }
}

/** A key that another key's commitment, or another user, names is never tried. */
function fitting(key: DataKey | undefined, { userId }: ContentPlace, stored: Uint8Array): DataKey {
  if (key === undefined || key.userId !== userId || key.id !== keyIdOf(stored))
    throw unreadable('its key is not there')
  return key
}

function decrypt(key: DataKey, place: ContentPlace, stored: Buffer): Uint8Array {
  const start = headLength + ivLength
  if (stored.byteLength <= start + tagLength) throw unreadable('it is cut short')
  try {
    const decipher = createDecipheriv('aes-256-gcm', key.encryption, stored.subarray(headLength, start), {
      authTagLength: tagLength,
    })
    decipher.setAAD(associatedData(form.sealed, place)).setAuthTag(stored.subarray(-tagLength))
    const value = decipher.update(stored.subarray(start, -tagLength))
    decipher.final()
    return value
  } catch (cause) {
    throw unreadable('it was changed, or belongs elsewhere', cause)
  }
}

/** Leaves a value readable, and adds what shows that it is the one that was written here. */
function sign(name: number, key: DataKey, place: ContentPlace, value: Uint8Array): Uint8Array {
  const stored = Buffer.allocUnsafeSlow(headLength + macLength + value.byteLength)
  stored[0] = name
  stored.set(key.commitment, 1)
  stored.set(macOf(name, key, place, value), headLength)
  stored.set(value, headLength + macLength)
  return stored
}

function checked(name: number, key: DataKey, place: ContentPlace, stored: Buffer): Uint8Array {
  const start = headLength + macLength
  if (stored.byteLength <= start) throw unreadable('it is cut short')
  const value = stored.subarray(start)
  if (!timingSafeEqual(macOf(name, key, place, value), stored.subarray(headLength, start)))
    throw unreadable('it was changed, or belongs elsewhere')
  return value
}

function macOf(name: number, key: DataKey, place: ContentPlace, value: Uint8Array): Buffer {
  return createHmac('sha256', key.signature)
    .update(associatedData(name, place))
    .update(value)
    .digest()
    .subarray(0, macLength)
}

/** The same of the same content, wherever it stands, as long as its user has this key. */
function digestOf(key: DataKey, value: Uint8Array): Buffer {
  return createHmac('sha256', key.digest).update(decodeContent(value)).digest()
}

/** Made smaller where that pays: what surrounds words by phrases, which costs a tenth of what compressing costs; words by that. */
function compressed(value: Uint8Array): Uint8Array {
  if (value[0] !== form.plain || value.byteLength < worthShortening) return value
  const raw = view(value).subarray(1)
  // A message begins with its role; what follows is words.
  const isFrame = raw.byteLength <= longestFrame && raw[2] !== roleStart
  const short = isFrame ? shorten(raw) : undefined
  if (short !== undefined && short.byteLength < raw.byteLength * wellShortened)
    return withForm(form.phrased, short)
  if (raw.byteLength < worthPacking) return value
  const isLarge = raw.byteLength >= worthZstd
  const smaller = isLarge ? zstdCompressSync(raw) : pack(raw)
  if (smaller.byteLength >= raw.byteLength) return value
  return withForm(isLarge ? form.zstd : form.packed, smaller)
}

function withForm(name: number, value: Uint8Array): Uint8Array {
  const inner = new Uint8Array(value.byteLength + 1)
  inner[0] = name
  inner.set(value, 1)
  return inner
}

/** Everything that says where a value belongs, each part after its length: no two places are written alike. */
function associatedData(name: number, { userId, table, column, row }: ContentPlace): Buffer {
  let text = `${name}:${userId.length}:${userId}${table.length}:${table}${column.length}:${column}`
  for (const part of row) {
    const value = String(part)
    text += `${value.length}:${value}`
  }
  return Buffer.from(text)
}

/** Random bytes are drawn for many values at once: a draw costs as much as an encryption. */
const pool = Buffer.allocUnsafeSlow(ivLength * 512)
let used = pool.byteLength

function nextIv(): Buffer {
  if (used === pool.byteLength) {
    randomFillSync(pool)
    used = 0
  }
  used += ivLength
  return pool.subarray(used - ivLength, used)
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function unreadable(reason: string, cause?: unknown): SteleError {
  return new SteleError('content_unreadable', { reason }, cause === undefined ? {} : { cause })
}
