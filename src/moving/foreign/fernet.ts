import { createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto'

/**
 * Fernet (https://github.com/fernet/spec): version, time, IV, AES-128-CBC and HMAC-SHA256, as one token in base64url.
 * Python programs encrypt single values with it.
 */

const version = 0x80
const headBytes = 25
const tagBytes = 32
const blockBytes = 16

/** The beginning of every token: the version and a time before the year 2106. */
const tokenPattern = /^gAAAA[\w-]+={0,2}$/

export class FernetKey {
  readonly #signing: Buffer
  readonly #encryption: Buffer

  /**
   * @param text 32 bytes in base64url
   * @throws RangeError when it is none
   */
  constructor(text: string) {
    const bytes = Buffer.from(text.trim(), 'base64url')
    if (!/^[\w+/-]{43}=?$/.test(text.trim()) || bytes.byteLength !== 32)
      throw new RangeError('a key is 32 bytes in base64url, 44 characters')
    this.#signing = bytes.subarray(0, 16)
    this.#encryption = bytes.subarray(16)
  }

  /** What a token says; undefined when this is not its key, or it is damaged. */
  open(token: Uint8Array): Buffer | undefined {
    const bytes = Buffer.from(Buffer.from(token).toString('latin1'), 'base64url')
    const secret = bytes.subarray(headBytes, -tagBytes)
    if (bytes[0] !== version || secret.byteLength === 0 || secret.byteLength % blockBytes !== 0)
      return undefined
    const tag = createHmac('sha256', this.#signing).update(bytes.subarray(0, -tagBytes)).digest()
    if (!timingSafeEqual(tag, bytes.subarray(-tagBytes))) return undefined
    const decipher = createDecipheriv('aes-128-cbc', this.#encryption, bytes.subarray(9, headBytes))
    return Buffer.concat([decipher.update(secret), decipher.final()])
  }
}

/** Whether these bytes look like a token, whatever it was made with. */
export function isFernetToken(bytes: Uint8Array): boolean {
  return bytes.byteLength >= 100 && tokenPattern.test(Buffer.from(bytes).toString('latin1'))
}
