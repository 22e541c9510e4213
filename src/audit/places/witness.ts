import { readCheckpoint } from '../checkpoint.ts'
import { type NoteSignature, openNote, parseNote } from '../note.ts'
import type { NoteKey } from '../note-keys.ts'
import { post } from './post.ts'

/** Somebody else who keeps watch that the log only grows: C2SP tlog-witness (https://c2sp.org/tlog-witness). */
export interface Witness {
  /** The submission prefix. */
  readonly url: string
  /** Its cosignature key. */
  readonly key: NoteKey
}

/** The witness has seen a larger tree, or another one of this size: this log is an older copy, or not the one it was. */
export class WitnessDisagrees extends Error {
  readonly size: number

  constructor(size: number) {
    super(`the witness has seen a log of ${size} events`)
    this.size = size
  }
}

export interface CosignOptions {
  /** The size that the witness is thought to have seen last. */
  readonly from: number
  /** Shows that the tree of the checkpoint begins with that of this size. */
  readonly proofFrom: (size: number) => Promise<readonly Uint8Array[]>
  readonly signal?: AbortSignal | undefined
}

/**
 * Has a checkpoint cosigned. Returns the note with the cosignature in it, which is verified.
 * @throws WitnessDisagrees, Error when there is no cosignature
 */
export async function cosign(
  witness: Witness,
  note: string,
  { from, proofFrom, signal }: CosignOptions,
): Promise<string> {
  const { size } = readCheckpoint(note)
  for (let [old, tries] = [Math.min(from, size), 0]; tries < 2; tries++) {
    const proof = (await proofFrom(old)).map(hash => `${Buffer.from(hash).toString('base64')}\n`).join('')
    const { status, contentType, text } = await post(
      `${witness.url.replace(/\/$/, '')}/add-checkpoint`,
      `old ${old}\n${proof}\n${note}`,
      { 'content-type': 'text/plain; charset=utf-8' },
      signal,
    )
    if (status === 200) return withCosignature(witness, note, text)
    const seen = status === 409 && contentType.startsWith('text/x.tlog.size') ? sizeIn(text) : undefined
    // At the size that it has seen it has another root.
    if (status === 409 && old === size && (seen ?? size) === size) throw new WitnessDisagrees(size)
    if (seen === undefined) throw new Error(`the witness answered ${status}`)
    if (seen > size) throw new WitnessDisagrees(seen)
    old = seen
  }
  throw new Error('the witness changed what it had seen')
}

function sizeIn(text: string): number | undefined {
  return /^\d{1,15}\n$/.test(text) ? Number(text) : undefined
}

/** Only what the witness itself has signed is taken, and only when it verifies. @throws SteleError note_invalid */
function withCosignature({ key }: Witness, note: string, lines: string): string {
  const { text, signatures } = parseNote(note)
  const isOwn = ({ name, keyId }: NoteSignature): boolean => name === key.name && keyId === key.id
  const own = lines
    .split('\n')
    .filter(line => line !== '' && parseNote(`${text}\n${line}\n`).signatures.some(isOwn))
    .map(line => `${line}\n`)
    .join('')
  if (own === '') throw new Error('the witness has not signed')
  openNote(`${text}\n${own}`, [key])
  return signatures.some(isOwn) ? note : note + own
}
