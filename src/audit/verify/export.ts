import { isUtf8 } from 'node:buffer'
import { linesOf } from '../../moving/lines.ts'
import type { SignedCheckpoint } from '../checkpoint.ts'
import { type ExportedEvent, type ExportHeader, type ExportLine, parseExportLine } from '../export-line.ts'
import { verifyInclusion } from '../merkle.ts'
import { type NoteKey, parseVkeys } from '../note-keys.ts'
import { checkEntry } from './entry.ts'
import { LogGrowth, openedBy, requireNewest } from './growth.ts'
import { type AuditFault, type AuditVerdict, Fault } from './verdict.ts'

export interface VerifyExportOptions {
  /**
   * The public keys of the log, as text (vkeys), the one that signs now last: it must have signed the newest checkpoint. Whose they
   * are cannot be learned from an export.
   */
  readonly keys: readonly string[]
  /** Signed notes that were kept from earlier: the log must still begin with what they were signed for. */
  readonly checkpoints?: readonly string[] | undefined
  /** Told after every few thousand lines. @param bytes of the export so far */
  readonly onProgress?: ((entries: number, bytes: number) => void) | undefined
}

/** Bytes of a line at most: Stele writes none that is a sixteenth of it. */
const longestLine = 16 * 1024 * 1024

/** Lines after which progress is told. */
const told = 4_096

/**
 * Verifies an export, or the daily files one after the other: every event against the signed roots, with nothing but public
 * keys. Reads it once, in memory that does not grow with it, and ends at the first thing that is wrong.
 * @throws SteleError vkey_invalid, and what reading raises
 */
export async function verifyAuditExport(
  chunks: AsyncIterable<Uint8Array>,
  { keys, checkpoints = [], onProgress }: VerifyExportOptions,
): Promise<AuditVerdict> {
  const known = parseVkeys(keys)
  const verifier = new ExportVerifier(known)
  let line = 0
  try {
    verifier.keep(checkpoints)
    const lines = linesOf(chunks, { longest: longestLine, endsAtLonger: true })
    for await (const { number, bytes, offset } of lines) {
      line = number
      if (bytes === undefined)
        throw new Fault({ reason: 'it is longer than 16 MiB, as no line of an export is' })
      if (!isUtf8(bytes)) throw new Fault({ reason: 'it is no text' })
      verifier.take(bytes.toString())
      if (number % told === 0) onProgress?.(verifier.entries, offset)
    }
    line = 0
    verifier.end()
    return verifier.verdict(undefined)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return verifier.verdict({ line: line === 0 ? undefined : line, ...error.fault })
  }
}

/** What an export is made of, one line after the other. */
class ExportVerifier {
  readonly #keys: readonly NoteKey[]
  #kept: readonly SignedCheckpoint[] = []
  #growth: LogGrowth
  #header: ExportHeader | undefined
  /** Of a selection: the checkpoint that its proofs lead to. */
  #base: (SignedCheckpoint & { readonly note: string }) | undefined
  #lastIndex = -1
  #lines = 0
  /** A key that the export names and that nobody vouches for. */
  #stranger: string | undefined
  entries = 0

  constructor(keys: readonly NoteKey[]) {
    this.#keys = keys
    this.#growth = new LogGrowth(keys, [])
  }

  keep(notes: readonly string[]): void {
    const kept = notes.map(note => openedBy(note, this.#keys, 'the kept checkpoint: '))
    this.#kept = kept
    this.#growth = new LogGrowth(this.#keys, kept)
  }

  take(text: string): void {
    const line = parseExportLine(text)
    if (line.kind === 'wrong') throw new Fault({ index: this.#nextIndex(), reason: line.reason })
    this.#lines++
    this.#takeLine(line)
  }

  #takeLine(line: ExportLine): void {
    if (line.kind === 'event') this.#takeEvent(line.entry)
    else if (line.kind === 'checkpoint') this.#takeCheckpoint(line.note)
    else if (line.kind === 'header') this.#takeHeader(line.header)
    else if (!this.#keys.some(({ name, id }) => line.vkey.startsWith(`${name}+${id}+`)))
      this.#stranger ??= line.vkey
  }

  #takeCheckpoint(note: string): void {
    if (this.#base !== undefined) throw new Fault({ reason: 'a selection has its checkpoint at its head' })
    try {
      this.#growth.checkpoint(note)
    } catch (error) {
      if (!(error instanceof Fault) || this.#stranger === undefined) throw error
      const reason = `${error.message} (the export names the key ${this.#stranger}, which was not given)`
      throw new Fault({ ...error.fault, reason })
    }
  }

  #takeHeader(header: ExportHeader): void {
    if (this.#lines > 1) throw new Fault({ reason: 'a second export begins here' })
    this.#header = header
    const { checkpoint: note } = header
    if (note === undefined) return
    const opened = openedBy(note, this.#keys)
    requireNewest(opened, this.#keys)
    if (opened.size !== header.size)
      throw new Fault({ reason: 'its checkpoint is of another size than it says' })
    if (this.#kept.some(({ size, root }) => size !== opened.size || !root.equals(opened.root)))
      throw new Fault({ reason: 'a selection is no log: it cannot be held against another checkpoint' })
    this.#base = { ...opened, note }
  }

  #takeEvent(entry: ExportedEvent): void {
    const { index, event, proof } = entry
    const place: AuditFault = { index, eventId: event.id, reason: '' }
    try {
      this.#checkOrder(index)
      const leaf = checkEntry(entry)
      if (this.#base !== undefined) this.#checkProof(this.#base, index, leaf, proof)
      else if (proof === undefined) this.#growth.append(leaf)
      else throw new Fault({ reason: 'only the events of a selection have proofs' })
    } catch (error) {
      throw error instanceof Fault ? new Fault({ ...place, ...error.fault }) : error
    }
    this.#lastIndex = index
    this.entries++
  }

  #checkOrder(index: number): void {
    const next = this.#nextIndex()
    if (this.#base !== undefined ? index >= next : index === next) return
    if (index < next) throw new Fault({ reason: `it follows the entry ${this.#lastIndex}` })
    throw new Fault({
      index: next,
      eventId: undefined,
      reason: `the entry is missing: the one that follows is ${index}`,
    })
  }

  #checkProof(
    { size, root }: SignedCheckpoint,
    index: number,
    leaf: Buffer,
    proof: readonly Uint8Array[] | undefined,
  ): void {
    if (proof === undefined) throw new Fault({ reason: 'it has no proof' })
    if (!verifyInclusion({ index, size, leaf, proof, root }))
      throw new Fault({ reason: 'its proof does not lead to the root that was signed' })
  }

  end(): void {
    if (this.#base !== undefined) return
    const size = this.#header?.size
    if (size !== undefined && size !== this.#growth.size)
      throw new Fault({
        index: this.#growth.size,
        reason: `the export begins with saying that it has ${size} entries, and has ${this.#growth.size}`,
      })
    this.#growth.end()
    this.#growth.requireNewest()
  }

  verdict(fault: AuditFault | undefined): AuditVerdict {
    const verified = this.#base ?? this.#growth.verified
    return {
      verified: fault === undefined,
      fault,
      entries: this.entries,
      checkpoints: this.#base === undefined ? this.#growth.checkpoints : 1,
      size: verified?.size ?? 0,
      checkpoint: verified?.note,
      complete: this.#base === undefined,
    }
  }

  /** The lowest index that may come. */
  #nextIndex(): number {
    return this.#lastIndex + 1
  }
}
