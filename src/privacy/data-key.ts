import { createSecretKey, hash, hkdfSync, type KeyObject } from 'node:crypto'

/**
 * A key of one user's content: 32 random bytes, and what is derived from them. Nothing of it can be turned into text by
 * accident: keys are `KeyObject`s, and the commitment reveals nothing.
 */
export interface DataKey {
  readonly userId: string
  /** The commitment in hexadecimal; the key's name in the database. */
  readonly id: string
  /** 16 bytes that no other key has. Each value sealed with the key begins with them. */
  readonly commitment: Buffer
  readonly encryption: KeyObject
  /** Authenticates content that is kept plain. */
  readonly signature: KeyObject
  /** Makes the digests that stand for content which is not kept. */
  readonly digest: KeyObject
  /** Another key of 32 bytes that lives and dies with this one; `purpose` names what for. */
  derive(purpose: string): KeyObject
  /**
   * 32 bytes that make a commitment to content untellable: nobody who lacks the user's keys can try a guess on it. `place` names
   * what is committed to. The same after the key is replaced, gone when all keys of the user are destroyed.
   */
  saltFor(place: string): Buffer
  /** What salts are made of, for the key that takes this one's place. */
  readonly saltRoot: KeyObject
}

export const dataKeyLength = 32
export const commitmentLength = 16

/**
 * The key made of these bytes: 32 of its own, and where it took the place of another 32 that salts are made of. They are not kept:
 * whoever has them overwrites them.
 */
export function dataKey(userId: string, bytes: Uint8Array): DataKey {
  const root = createSecretKey(bytes.subarray(0, dataKeyLength))
  const expand = (purpose: string, length: number): Buffer =>
    Buffer.from(hkdfSync('sha256', root, '', `stele data key 1\0${purpose}\0${userId}`, length))
  const derive = (purpose: string): KeyObject => createSecretKey(expand(purpose, dataKeyLength))
  const commitment = expand('commitment', commitmentLength)
  const made = new Map<string, KeyObject>()
  const once = (purpose: string): KeyObject => {
    const known = made.get(purpose) ?? derive(purpose)
    made.set(purpose, known)
    return known
  }
  const saltRoot =
    bytes.byteLength > dataKeyLength ? createSecretKey(bytes.subarray(dataKeyLength)) : derive('salts')
  let saltPrefix: string | undefined
  return {
    userId,
    id: commitment.toString('hex'),
    commitment,
    encryption: derive('encryption'),
    get signature() {
      return once('signature')
    },
    get digest() {
      return once('digest')
    },
    derive: purpose => once(`derived ${purpose}`),
    saltRoot,
    saltFor(place) {
      // Of constant length, so that no two pairs of prefix and place are spelled alike.
      saltPrefix ??= saltRoot.export().toString('base64url')
      return hash('sha256', `${saltPrefix}${place}`, 'buffer')
    },
  }
}
