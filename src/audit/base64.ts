/**
 * The bytes of a base64 text (RFC 4648, section 4), undefined when it is not written in the one way there is: padded,
 * without white space, the bits beyond the last byte 0.
 */
export function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}
