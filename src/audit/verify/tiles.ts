import { digestLength } from '../digest.ts'
import { lastTiles, tileRoot, tileWidth } from '../tiles.ts'
import { Fault } from './verdict.ts'

/** The stored hashes of a tile, one after the other; undefined when there is none. */
type ReadTile = (level: number, tile: number) => Promise<Uint8Array | undefined>

/** Computes the tiles of a log from its leaves and compares them with those that are stored. */
export class TileCheck {
  readonly #readTile: ReadTile
  /** Of each level the hashes of the tile that is not full, and which tile that is. */
  readonly #levels: { tile: number; hashes: Uint8Array[] }[] = []

  private constructor(readTile: ReadTile) {
    this.#readTile = readTile
  }

  /** @param size leaves that were verified earlier: what is stored of them is believed */
  static async from(size: number, readTile: ReadTile): Promise<TileCheck> {
    const check = new TileCheck(readTile)
    for (const { level, tile, width } of lastTiles(size)) {
      const isFull = width === tileWidth
      const stored = isFull ? new Uint8Array(0) : await readTile(level, tile)
      const hashes = Array.from({ length: isFull ? 0 : width }, (_, at) => hashAt(stored, at))
      check.#levels[level] = { tile: isFull ? tile + 1 : tile, hashes }
    }
    return check
  }

  /** The number of tiles of a tree. */
  static count(size: number): number {
    return lastTiles(size).reduce((sum, { tile }) => sum + tile + 1, 0)
  }

  /** @throws Fault */
  async append(leaf: Uint8Array): Promise<void> {
    let hash: Uint8Array = leaf
    for (let level = 0; ; level++) {
      const current = this.#levels[level] ?? { tile: 0, hashes: [] }
      this.#levels[level] = current
      current.hashes.push(hash)
      if (current.hashes.length < tileWidth) return
      const whole = await this.#compare(level, current)
      this.#levels[level] = { tile: current.tile + 1, hashes: [] }
      hash = tileRoot(whole)
    }
  }

  /** Compares the tiles that are not full. @throws Fault */
  async end(): Promise<void> {
    for (const [level, current] of this.#levels.entries())
      if (current.hashes.length > 0) await this.#compare(level, current)
  }

  async #compare(level: number, { tile, hashes }: { tile: number; hashes: Uint8Array[] }): Promise<Buffer> {
    const computed = Buffer.concat(hashes)
    const stored = await this.#readTile(level, tile)
    if (stored !== undefined && computed.equals(stored)) return computed
    const at = hashes.findIndex((hash, place) => !Buffer.from(hash).equals(hashAt(stored, place)))
    const place = tile * tileWidth + Math.max(at, 0)
    throw new Fault({
      index: place * tileWidth ** level,
      reason:
        at === -1
          ? `the tile ${tile} of level ${level} has hashes beyond the end of the log`
          : `the hash ${at} of the tile ${tile} of level ${level} is not the one of its entries`,
    })
  }
}

function hashAt(hashes: Uint8Array | undefined, place: number): Uint8Array {
  return (hashes ?? new Uint8Array(0)).subarray(place * digestLength, (place + 1) * digestLength)
}
