import { digestLength } from '../digest.ts'
import { tileRoot, tileWidth } from '../tiles.ts'

export interface ChangedTile {
  readonly level: number
  readonly tile: number
  readonly hashes: Buffer
  /** False when it was there, with fewer hashes. */
  readonly isNew: boolean
}

/**
 * The tiles that change when leaves are added to a tree.
 * @param size of the tree so far
 * @param last the last tile of a level so far, which may be partial
 * @param leaves their hashes
 */
export function appendToTiles(
  size: number,
  last: (level: number) => Uint8Array,
  leaves: readonly Buffer[],
): ChangedTile[] {
  const changed: ChangedTile[] = []
  let start = size
  let added = leaves
  for (let level = 0; added.length > 0; level++) {
    const offset = start % tileWidth
    const kept = offset === 0 ? new Uint8Array(0) : last(level).subarray(0, offset * digestLength)
    const hashes = Buffer.concat([kept, ...added])
    const first = Math.floor(start / tileWidth)
    const roots: Buffer[] = []
    for (let at = 0; at * tileWidth * digestLength < hashes.length; at++) {
      const part = hashes.subarray(at * tileWidth * digestLength, (at + 1) * tileWidth * digestLength)
      changed.push({ level, tile: first + at, hashes: part, isNew: at > 0 || offset === 0 })
      if (part.length === tileWidth * digestLength) roots.push(tileRoot(part))
    }
    start = first
    added = roots
  }
  return changed
}
