import type { Found, Markers } from './markers.ts'
import { Needles } from './needles.ts'
import { type Spelling, spellingsOf } from './spellings.ts'
import { unpackedIn, unpackedValue } from './unpacked.ts'

/** Something found where it was looked for. */
export interface Finding extends Found {
  /** A file, a column, a log. */
  readonly where: string
  readonly spelling: string
}

const context = 8

/** Finds markers and known secrets in bytes, however they are written. */
export class BytesSearch {
  readonly #markers: Markers
  readonly #needles = new Needles<Spelling & { readonly secret?: string }>()

  constructor(markers: Markers) {
    this.#markers = markers
    for (const spelling of spellingsOf(Buffer.from(markers.stem))) this.#needles.add(spelling)
  }

  /** Adds bytes that are to be found nowhere, which no marker is part of: a key that was made by chance. */
  addSecret(said: string, secret: Uint8Array): void {
    for (const spelling of spellingsOf(Buffer.from(secret))) this.#needles.add({ ...spelling, secret: said })
  }

  /** What stands in a file or a log. */
  inFile(where: string, bytes: Buffer): Finding[] {
    return this.#inAll(where, [bytes, joined(unpackedIn(bytes))])
  }

  /** What stands in values of a column. */
  inValues(where: string, values: readonly unknown[]): Finding[] {
    const stored = values.flatMap(bytesOf)
    // What is text to the database can be no compressor's, and of many values next to each other the beginnings still show.
    const packed = values.filter(value => value instanceof Uint8Array).flatMap(bytesOf)
    const plain = joined(stored)
    return this.#inAll(where, [plain, joined([...unpackedIn(plain), ...packed.flatMap(unpackedValue)])])
  }

  #inAll(where: string, forms: readonly Buffer[]): Finding[] {
    return forms.flatMap((bytes, index) => {
      const packed = index === 0 ? '' : ', compressed'
      return this.#needles.placesIn(bytes).map(({ needle: { name, read, secret }, at }): Finding => {
        const spelling = name + packed
        if (secret !== undefined) return { kind: 'secret', said: secret, isSure: true, where, spelling }
        const { before, behind } = read(bytes, at, context)
        return { ...this.#markers.read(before, behind), where, spelling }
      })
    })
  }
}

function bytesOf(value: unknown): Buffer[] {
  if (value instanceof Uint8Array) return [Buffer.from(value.buffer, value.byteOffset, value.byteLength)]
  return typeof value === 'string' ? [Buffer.from(value)] : []
}

/** One after another, with something between that is part of nothing. */
function joined(pieces: readonly Buffer[]): Buffer {
  return Buffer.concat(pieces.flatMap(piece => [piece, gap]))
}

const gap = Buffer.from('\n\0\n')

/** One line for each thing that was found somewhere, whatever the spelling and however often. */
export function told(findings: readonly Finding[]): string[] {
  return [
    ...new Set(findings.map(({ where, kind, said, spelling }) => `${where}: ${kind}, ${said} (${spelling})`)),
  ].sort()
}
