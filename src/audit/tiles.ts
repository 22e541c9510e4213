import { digestLength } from './digest.ts'
import { type HashReader, nodeHash } from './merkle.ts'

/**
 * The tiles of C2SP tlog-tiles (https://c2sp.org/tlog-tiles): the hashes of a tree in files of up to 256. A tile of level 0
 * holds hashes of leaves, one of level L the hashes of the full tiles of level L - 1.
 */

/** Hashes in a full tile. */
export const tileWidth = 256

/** Levels of the tree that a tile spans. */
const tileHeight = 8

/** How wide a tile is in a tree of `size` leaves: 0 when there is none of it yet, 256 when it is full. */
export function tileWidthAt(level: number, tile: number, size: number): number {
  const hashes = Math.floor(size / tileWidth ** level)
  return Math.max(0, Math.min(tileWidth, hashes - tile * tileWidth))
}

/** The partial tile or the last full one of each level of a tree of `size` leaves, the lowest level first. */
export function lastTiles(size: number): { level: number; tile: number; width: number }[] {
  const tiles: { level: number; tile: number; width: number }[] = []
  for (let level = 0, hashes = size; hashes > 0; level++, hashes = Math.floor(hashes / tileWidth)) {
    const tile = Math.floor((hashes - 1) / tileWidth)
    tiles.push({ level, tile, width: hashes - tile * tileWidth })
  }
  return tiles
}

export interface TileName {
  /** A level of hashes, or `entries` for the bundles of log entries. */
  readonly level: number | 'entries'
  readonly tile: number
  /** 1 to 256. */
  readonly width: number
}

/** The path of a tile below the prefix of a log, as in `tile/0/x001/x234/067` or `tile/entries/000.p/12`. */
export function tilePath({ level, tile, width }: TileName): string {
  const digits = String(tile)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? []
  const number = groups.map((group, at) => (at === groups.length - 1 ? group : `x${group}`)).join('/')
  return `tile/${level}/${number}${width === tileWidth ? '' : `.p/${width}`}`
}

const pathForm = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/

/** The inverse; undefined for whatever `tilePath` does not make: each tile has one path. */
export function parseTilePath(path: string): TileName | undefined {
  const [, level, number, width] = pathForm.exec(path) ?? []
  if (level === undefined || number === undefined) return undefined
  const name: TileName = {
    level: level === 'entries' ? level : Number(level),
    tile: Number(number.replace(/[x/]/g, '')),
    width: width === undefined ? tileWidth : Number(width),
  }
  const isKnown = (name.level === 'entries' || name.level < 64) && Number.isSafeInteger(name.tile)
  return isKnown && tilePath(name) === path ? name : undefined
}

/** Tiles that a reader remembers: more than any proof needs. */
const remembered = 32

/**
 * Reads hashes of a tree from its tiles. The tiles read last are remembered, so a reader is for one state of a tree: make
 * another when it has grown.
 * @param readTile the hashes of a tile, one after the other; at least as many as the tree in question needs
 */
export function tileHashReader(readTile: (level: number, tile: number) => Promise<Uint8Array>): HashReader {
  const tiles = new Map<string, Promise<Uint8Array>>()
  const tileAt = (level: number, tile: number): Promise<Uint8Array> => {
    const name = `${level}/${tile}`
    const known = tiles.get(name)
    if (known !== undefined) return known
    const [oldest] = tiles.keys()
    if (tiles.size >= remembered && oldest !== undefined) tiles.delete(oldest)
    const read = readTile(level, tile)
    tiles.set(name, read)
    return read
  }
  return {
    async hash(level, index) {
      const inTile = level % tileHeight
      const first = index * 2 ** inTile
      const tile = Math.floor(first / tileWidth)
      const bytes = await tileAt((level - inTile) / tileHeight, tile)
      const start = (first - tile * tileWidth) * digestLength
      const end = start + 2 ** inTile * digestLength
      if (bytes.byteLength < end)
        throw new RangeError(`The tile ${tile} of level ${(level - inTile) / tileHeight} is too short.`)
      return tileRoot(bytes.subarray(start, end))
    },
  }
}

/** The hash of the complete subtree over hashes. @param hashes a power of two of them, one after the other */
export function tileRoot(hashes: Uint8Array): Buffer {
  if (hashes.byteLength === digestLength) return Buffer.from(hashes)
  const middle = hashes.byteLength / 2
  return nodeHash(tileRoot(hashes.subarray(0, middle)), tileRoot(hashes.subarray(middle)))
}

/** Log entries as tlog-tiles serves them: each after its length in two bytes, big-endian. */
export function entryBundle(entries: readonly Uint8Array[]): Buffer {
  const parts: Uint8Array[] = []
  for (const entry of entries) {
    const length = Buffer.allocUnsafe(2)
    length.writeUInt16BE(entry.byteLength)
    parts.push(length, entry)
  }
  return Buffer.concat(parts)
}
