import { openCheckpoint } from '../../src/audit/checkpoint.ts'
import { canonicalEvent, commitEvent, logEntry } from '../../src/audit/event-form.ts'
import { Frontier, leafHash } from '../../src/audit/merkle.ts'
import { parseVkey } from '../../src/audit/note-keys.ts'
import { tileRoot } from '../../src/audit/tiles.ts'
import type { Stele } from '../../src/stele.ts'
import { rowsOf, storedRowsOf } from './rows.ts'

export interface ProvenLog {
  /** The names of the events, in the order of the log. */
  readonly logged: readonly string[]
  /** Of those that are neither in the log nor queued. */
  readonly outside: readonly string[]
  readonly queued: number
  /** The sizes of the checkpoints. */
  readonly checkpoints: readonly number[]
}

/**
 * Computes the whole log anew from the rows of its events, and compares rows, tiles and every checkpoint with that.
 * @throws Error that names the first difference
 */
export async function provenLog(stele: Stele): Promise<ProvenLog> {
  const events = new Map((await rowsOf(stele, 'audit_events')).map(row => [nameOf(row.id, row.user_id), row]))
  const rows = await storedRowsOf(stele.database, 'audit_log')
  const checkpoints = await storedRowsOf(stele.database, 'audit_checkpoints')
  const keys = (await stele.auditLog.keys()).map(({ vkey }) => parseVkey(vkey))
  const bySize = new Map(checkpoints.map(row => [row.tree_size, row]))
  const frontier = new Frontier()
  const leaves: Buffer[] = []
  const logged = rows.map((row, index) => {
    const name = nameOf(row.event_id, row.user_id)
    const event = events.get(name)
    if (event === undefined) throw new Error(`entry ${index} is of no event`)
    if (row.leaf_index !== index) throw new Error(`entry ${index} is said to be ${row.leaf_index}`)
    const commitment = commitEvent(row.salt, canonicalEvent(event))
    if (!commitment.equals(row.commitment)) throw new Error(`entry ${index} commits to another event`)
    const isFound =
      row.action === event.action && row.category === event.category && row.severity === event.severity
    if (!isFound) throw new Error(`entry ${index} would be found by what its event is not`)
    const leaf = leafHash(logEntry(row.event_id, commitment))
    leaves.push(leaf)
    frontier.append(leaf)
    const checkpoint = bySize.get(frontier.size)
    if (checkpoint !== undefined) {
      const signed = openCheckpoint(checkpoint.note, keys)
      if (signed.size !== frontier.size || !signed.root.equals(frontier.root()))
        throw new Error(`the checkpoint of ${frontier.size} is of another log`)
    }
    return name
  })
  if ((checkpoints.at(-1)?.tree_size ?? 0) !== rows.length) throw new Error('what is signed is not all')
  await compareTiles(stele, leaves)
  const queued = await stele.auditLog.queued()
  const known = new Set([...logged, ...queued.map(({ eventId, userId }) => nameOf(eventId, userId))])
  if (known.size !== logged.length + queued.length) throw new Error('an event is there twice')
  return {
    logged,
    outside: [...events.keys()].filter(name => !known.has(name)),
    queued: queued.length,
    checkpoints: checkpoints.map(({ tree_size }) => tree_size),
  }
}

function nameOf(id: string, userId: string): string {
  return `${id} ${userId}`
}

async function compareTiles(stele: Stele, leaves: readonly Buffer[]): Promise<void> {
  const expected = new Map<string, Buffer>()
  let hashes = leaves
  for (let level = 0; hashes.length > 0; level++) {
    const roots: Buffer[] = []
    for (let at = 0; at < hashes.length; at += 256) {
      const tile = Buffer.concat(hashes.slice(at, at + 256))
      expected.set(`${level}/${at / 256}`, tile)
      if (tile.length === 256 * 32) roots.push(tileRoot(tile))
    }
    hashes = roots
  }
  for (const { level, tile, hashes } of await storedRowsOf(stele.database, 'audit_tiles')) {
    const name = `${level}/${tile}`
    if (expected.get(name)?.equals(hashes) !== true) throw new Error(`the tile ${name} is not the one it was`)
    expected.delete(name)
  }
  if (expected.size > 0) throw new Error(`tiles are missing: ${[...expected.keys()].join()}`)
}
