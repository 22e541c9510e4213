import { SteleError } from '../errors.ts'
import { fromBase64 } from './base64.ts'
import { digestLength } from './digest.ts'
import { openNote, parseNote } from './note.ts'
import type { NoteKey } from './note-keys.ts'

/** What a log states with its signature: C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint). */
export interface Checkpoint {
  /** What the log is called. */
  readonly origin: string
  /** The number of entries. */
  readonly size: number
  readonly root: Buffer
  /** What is signed along with it, in extension lines; undefined where a log says nothing of the kind. */
  readonly said?: CheckpointFacts | undefined
}

/** What a log says of a checkpoint, so that none can be taken out and no time be changed beside it. */
export interface CheckpointFacts {
  /** When it was signed, in milliseconds since 1970, UTC. */
  readonly at: number
  /** The size of the checkpoint before; 0 for the first. */
  readonly after: number
  /** Keys that no checkpoint before has named: the id of each, and when it was made. */
  readonly newKeys: readonly { readonly id: string; readonly at: number }[]
}

/** The text to be signed. */
export function checkpointText({ origin, size, root, said }: Checkpoint): string {
  const lines = [origin, size, root.toString('base64')]
  if (said !== undefined) {
    lines.push(`time ${said.at}`, `after ${said.after}`)
    for (const { id, at } of said.newKeys) lines.push(`key ${id} ${at}`)
  }
  return `${lines.join('\n')}\n`
}

/** The inverse; lines that say something else are left aside. @throws SteleError checkpoint_invalid */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', size = '', encoded = '', ...rest] = text.split('\n')
  const root = fromBase64(encoded)
  const isText =
    origin !== '' && rest.length > 0 && /^(0|[1-9]\d*)$/.test(size) && Number.isSafeInteger(Number(size))
  // What follows the last line feed is the only empty one.
  if (!isText || root?.byteLength !== digestLength || rest.indexOf('') !== rest.length - 1)
    throw new SteleError('checkpoint_invalid', { reason: 'its text is not origin, size and root' })
  return { origin, size: Number(size), root, said: factsIn(rest) }
}

function factsIn(lines: readonly string[]): CheckpointFacts | undefined {
  const numberOf = (pattern: RegExp): number | undefined => {
    const found = lines.flatMap(line => pattern.exec(line)?.[1] ?? [])
    return found.length === 1 ? Number(found[0]) : undefined
  }
  const at = numberOf(/^time (\d{1,15})$/)
  const after = numberOf(/^after (\d{1,15})$/)
  if (at === undefined || after === undefined) return undefined
  const newKeys = lines.flatMap(line => {
    const [, id, made] = /^key ([0-9a-f]{8}) (\d{1,15})$/.exec(line) ?? []
    return id === undefined ? [] : [{ id, at: Number(made) }]
  })
  return { at, after, newKeys }
}

export interface SignedCheckpoint extends Checkpoint {
  readonly signedBy: readonly NoteKey[]
}

/**
 * The checkpoint of a note that a key of the log itself has signed: one that is called as its origin. Witnesses alone do
 * not do.
 * @throws SteleError note_invalid, checkpoint_invalid
 */
export function openCheckpoint(note: string, keys: readonly NoteKey[]): SignedCheckpoint {
  const { text, signedBy } = openNote(note, keys)
  const checkpoint = parseCheckpoint(text)
  if (!signedBy.some(({ name }) => name === checkpoint.origin))
    throw new SteleError('checkpoint_invalid', { reason: 'the log that it names has not signed it' })
  return { ...checkpoint, signedBy }
}

/** The checkpoint of a note, whoever signed it. @throws SteleError note_invalid, checkpoint_invalid */
export function readCheckpoint(note: string): Checkpoint {
  return parseCheckpoint(parseNote(note).text)
}
