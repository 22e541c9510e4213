import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const ivLength = 12
const tagLength = 16

/**
 * Encrypts a value with AES-256-GCM: a random IV of 12 bytes, the ciphertext, the tag of 16. `purpose` is bound in, so a
 * sealed value that is moved elsewhere no longer opens. `key` has 32 bytes.
 */
export function seal(key: Uint8Array, purpose: string, value: Uint8Array): Buffer {
  const iv = randomBytes(ivLength)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(purpose))
  return Buffer.concat([iv, cipher.update(value), cipher.final(), cipher.getAuthTag()])
}

/** The inverse of {@link seal}. @throws Error when the value was changed, moved, or sealed with another key */
export function unseal(key: Uint8Array, purpose: string, sealed: Uint8Array): Buffer {
  const value = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  const decipher = createDecipheriv('aes-256-gcm', key, value.subarray(0, ivLength), {
    authTagLength: tagLength,
  })
    .setAAD(Buffer.from(purpose))
    .setAuthTag(value.subarray(-tagLength))
  return Buffer.concat([decipher.update(value.subarray(ivLength, -tagLength)), decipher.final()])
}
