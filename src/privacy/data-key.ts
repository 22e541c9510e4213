import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'

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
}

export const dataKeyLength = 32
export const commitmentLength = 16

/** The key made of these bytes. They are not kept: whoever has them overwrites them. */
export function dataKey(userId: string, bytes: Uint8Array): DataKey {
  const root = createSecretKey(bytes)
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
  }
}
