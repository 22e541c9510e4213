/** One way in which bytes may have been written down. */
export interface Spelling {
  readonly name: string
  readonly needle: Buffer
  /** Bytes of this spelling for so many of the original, and how to read them. */
  readonly read: (bytes: Buffer, at: number, count: number) => { before: string; behind: string }
}

const view = (bytes: Buffer, from: number, to: number): Buffer =>
  bytes.subarray(Math.max(0, from), Math.max(0, to))

/** A spelling in which every byte stands for itself in `width` bytes. */
function even(name: string, needle: Buffer, length: number, decode: (piece: Buffer) => string): Spelling {
  const width = needle.byteLength / length
  return {
    name,
    needle,
    read: (bytes, at, count) => ({
      before: decode(view(bytes, at - count * width, at)),
      behind: decode(view(bytes, at + needle.byteLength, at + needle.byteLength + count * width)),
    }),
  }
}

const latin1 = (piece: Buffer): string => piece.toString('latin1')
const lower = (piece: Buffer): string => latin1(piece).toLowerCase()
const hexOf = (piece: Buffer): string => Buffer.from(latin1(piece), 'hex').toString('latin1')
const swapped = (piece: Buffer): Buffer => Buffer.from(piece.subarray(0, piece.byteLength & ~1)).swap16()
const percent = (piece: Buffer): string => hexOf(Buffer.from(latin1(piece).replaceAll('%', '')))
const escaped = (piece: Buffer): string => hexOf(Buffer.from(latin1(piece).replaceAll('\\u00', '')))

const each = (bytes: Buffer, spell: (hex: string) => string): Buffer =>
  Buffer.from([...bytes].map(byte => spell(byte.toString(16).padStart(2, '0'))).join(''))

/** The piece of base64 that is the same whatever stands around the bytes, which begin `shift` bytes into a group of three. */
function base64(bytes: Buffer, shift: 0 | 1 | 2, encoding: 'base64' | 'base64url'): Spelling {
  const start = [0, 2, 3][shift] ?? 0
  const end = Math.floor(((bytes.byteLength + shift) * 8) / 6)
  const needle = Buffer.from(
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString(encoding)
      .slice(start, end),
  )
  return {
    name: `${encoding} +${shift}`,
    needle,
    read: (text, at, count) => {
      const chars = latin1(view(text, at, at + needle.byteLength + Math.ceil((count * 4) / 3) + 1))
      const behind = Buffer.from('A'.repeat(start) + chars, 'base64').subarray(shift + bytes.byteLength)
      // Whole groups before the one that the bytes begin in, as far as there is base64.
      const groups = latin1(view(text, at - start - 4 * Math.ceil(count / 3), at))
      const [own = ''] = groups.match(/[\w+/-]*$/) ?? []
      const before = Buffer.from(own.slice(Math.max(0, own.length - start) % 4), 'base64')
      return { before: before.toString('latin1'), behind: behind.toString('latin1') }
    },
  }
}

/** Every way in which these bytes may stand in a file or in a line of a log. */
export function spellingsOf(bytes: Buffer): Spelling[] {
  const { byteLength: length } = bytes
  const wide = Buffer.from(bytes.toString('latin1'), 'utf16le')
  const all = [
    even('raw', bytes, length, latin1),
    even('upper case', Buffer.from(bytes.toString('latin1').toUpperCase(), 'latin1'), length, lower),
    even('UTF-16LE', wide, length, piece => piece.toString('utf16le')),
    even('UTF-16BE', Buffer.from(wide).swap16(), length, piece => swapped(piece).toString('utf16le')),
    even(
      'hex',
      each(bytes, hex => hex),
      length,
      hexOf,
    ),
    even(
      'HEX',
      each(bytes, hex => hex.toUpperCase()),
      length,
      hexOf,
    ),
    even(
      '%hex',
      each(bytes, hex => `%${hex}`),
      length,
      percent,
    ),
    even(
      '%HEX',
      each(bytes, hex => `%${hex.toUpperCase()}`),
      length,
      percent,
    ),
    even(
      '\\uhex',
      each(bytes, hex => `\\u00${hex}`),
      length,
      escaped,
    ),
    even(
      '\\uHEX',
      each(bytes, hex => `\\u00${hex.toUpperCase()}`),
      length,
      escaped,
    ),
    ...([0, 1, 2] as const).flatMap(shift => [
      base64(bytes, shift, 'base64'),
      base64(bytes, shift, 'base64url'),
    ]),
  ]
  const known = new Set<string>()
  return all.filter(({ needle }) => {
    const key = needle.toString('hex')
    return !known.has(key) && known.add(key) !== undefined
  })
}
