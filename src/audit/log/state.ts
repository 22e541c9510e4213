import type { StoredBatch } from '../../db/batch.ts'
import { SteleError } from '../../errors.ts'
import type { Contents } from '../../store/contents.ts'
import { openCheckpoint, type SignedCheckpoint } from '../checkpoint.ts'
import { digestLength } from '../digest.ts'
import { logEntry } from '../event-form.ts'
import { leafHash, rootAt } from '../merkle.ts'
import { lastTiles, tileHashReader, tileWidth } from '../tiles.ts'
import { broken } from './broken.ts'
import { type SigningKey, signingKeys } from './keys.ts'
import type { PublishedCheckpoint } from './steps.ts'

/** The log as it stands, which is as it was signed. */
export interface LogState {
  readonly size: number
  readonly keys: readonly SigningKey[]
  /** Whether events from before there was a log may still be taken in. */
  readonly takesOld: boolean
  /** The ids of the keys that have signed its newest checkpoint; none before the first. */
  readonly signedBy: readonly string[]
  /** The last tile of each level. */
  readonly tiles: ReadonlyMap<number, Uint8Array>
}

/**
 * Reads the log and compares it with its newest checkpoint, and with those that are known elsewhere.
 * @throws SteleError audit_log_broken
 */
export async function readState(
  batch: StoredBatch,
  contents: Contents,
  published: readonly PublishedCheckpoint[],
): Promise<LogState> {
  const [{ keys, takesOld }, checkpoint, last] = await Promise.all([
    signingKeys(batch, contents.masters),
    batch.last('audit_checkpoints'),
    batch.last('audit_log'),
  ])
  const size = checkpoint?.tree_size ?? 0
  const signed = checkpoint === undefined ? undefined : openedWith(keys, checkpoint.note)
  if (
    checkpoint !== undefined &&
    (signed?.size !== size || signed.origin !== keys[0]?.name || !signed.root.equals(checkpoint.root))
  )
    throw broken('its newest checkpoint is not what was signed')
  if ((last?.leaf_index ?? -1) !== size - 1)
    throw broken(`it has ${(last?.leaf_index ?? -1) + 1} entries, and ${size} were signed`)
  const tiles = await edgeOf(batch, size)
  if (signed !== undefined) {
    const root = await rootOf(size, level => tiles.get(level))
    if (!signed.root.equals(root)) throw broken('the hashes of its tree are not those that were signed')
  }
  if (last !== undefined) {
    const tile = tiles.get(0) ?? new Uint8Array(0)
    const end = (((size - 1) % tileWidth) + 1) * digestLength
    if (!leafHash(logEntry(last.event_id, last.commitment)).equals(tile.subarray(end - digestLength, end)))
      throw broken('its last entry is not the one that was signed')
  }
  await compare(batch, size, published)
  return { size, keys, takesOld, signedBy: signed?.signedBy.map(({ id }) => id) ?? [], tiles }
}

function openedWith(keys: readonly SigningKey[], note: string): SignedCheckpoint {
  try {
    return openCheckpoint(note, keys)
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    throw broken(`its newest checkpoint is not valid: ${error.message}`)
  }
}

/** The last tiles of a tree. */
async function edgeOf(batch: StoredBatch, size: number): Promise<Map<number, Uint8Array>> {
  const expected = lastTiles(size)
  const keys = expected.map(({ level, tile }) => ({ level, tile }))
  const rows = await batch.find('audit_tiles', ['level', 'tile'], keys, ['level', 'tile', 'hashes'])
  const tiles = new Map(rows.map(row => [row.level, row.hashes]))
  for (const { level, tile, width } of expected)
    if (tiles.get(level)?.byteLength !== width * digestLength)
      throw broken(`the tile ${tile} of level ${level} is not as long as the tree that was signed`)
  return tiles
}

/** The root of a tree, from its last tiles. */
export function rootOf(size: number, lastTile: (level: number) => Uint8Array | undefined): Promise<Buffer> {
  const at = new Map(lastTiles(size).map(({ level, tile }) => [level, tile]))
  const reader = tileHashReader(async (level, tile) => {
    const hashes = at.get(level) === tile ? lastTile(level) : undefined
    if (hashes === undefined) throw broken(`the tile ${tile} of level ${level} is missing`)
    return hashes
  })
  return rootAt(reader, size)
}

/** What others have seen of the log must be its beginning still. */
async function compare(
  batch: StoredBatch,
  size: number,
  published: readonly PublishedCheckpoint[],
): Promise<void> {
  const reader = tileHashReader(async (level, tile) => {
    const [row] = await batch.find('audit_tiles', ['level', 'tile'], [{ level, tile }], ['hashes'])
    if (row === undefined) throw broken(`the tile ${tile} of level ${level} is missing`)
    return row.hashes
  })
  for (const known of published) {
    if (known.size > size)
      throw broken(
        `it has ${size} entries, and a checkpoint of ${known.size} has been published: this database is an older copy`,
      )
    const root = await rootAt(reader, known.size)
    if (root.toString('base64') !== known.root)
      throw broken(`the first ${known.size} of its entries are not those of a checkpoint that was published`)
  }
}
