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
}

/** The text to be signed. */
export function checkpointText({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${root.toString('base64')}\n`
}

/** The inverse; lines that follow are left aside. @throws SteleError checkpoint_invalid */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', size = '', encoded = '', ...rest] = text.split('\n')
  const root = fromBase64(encoded)
  const isText =
    origin !== '' && rest.length > 0 && /^(0|[1-9]\d*)$/.test(size) && Number.isSafeInteger(Number(size))
  // What follows the last line feed is the only empty one.
  if (!isText || root?.byteLength !== digestLength || rest.indexOf('') !== rest.length - 1)
    throw new SteleError('checkpoint_invalid', { reason: 'its text is not origin, size and root' })
  return { origin, size: Number(size), root }
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
