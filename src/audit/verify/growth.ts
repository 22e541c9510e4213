import { reasonOf } from '../../errors.ts'
import { openCheckpoint, type SignedCheckpoint } from '../checkpoint.ts'
import { Frontier } from '../merkle.ts'
import type { NoteKey } from '../note-keys.ts'
import { Fault } from './verdict.ts'

/**
 * Follows a log as it grows, leaf by leaf, and holds every checkpoint against what it has become: memory does not grow with
 * the log.
 */
export class LogGrowth {
  readonly #keys: readonly NoteKey[]
  readonly #frontier: Frontier
  /** Checkpoints that somebody has kept. The log must go through each. */
  readonly #kept: readonly SignedCheckpoint[]
  #origin: string | undefined
  #verified: { readonly note: string; readonly size: number } | undefined
  #checkpoints = 0

  /** @param frontier where to start; it must have been verified */
  constructor(keys: readonly NoteKey[], kept: readonly SignedCheckpoint[], frontier = new Frontier()) {
    this.#keys = keys
    this.#kept = kept
    this.#frontier = frontier
    this.#origin = kept[0]?.origin
    this.#meetKept()
  }

  /** The number of leaves so far, which is the index of the next. */
  get size(): number {
    return this.#frontier.size
  }

  /** Checkpoints that were verified. */
  get checkpoints(): number {
    return this.#checkpoints
  }

  /** The newest checkpoint that was verified. */
  get verified(): { readonly note: string; readonly size: number } | undefined {
    return this.#verified
  }

  /** @throws Fault */
  append(leaf: Uint8Array): void {
    this.#frontier.append(leaf)
    this.#meetKept()
  }

  /** Takes a signed checkpoint of what there is now. @throws Fault */
  checkpoint(note: string): SignedCheckpoint {
    const checkpoint = openedBy(note, this.#keys)
    const { origin, size, root } = checkpoint
    this.#origin ??= origin
    if (origin !== this.#origin)
      throw new Fault({ reason: `the checkpoint is one of the log ${origin}, not of ${this.#origin}` })
    if (size !== this.size)
      throw new Fault({
        index: this.#verified?.size ?? 0,
        reason: `from here on ${size > this.size ? 'entries are missing' : 'there are more entries than were signed for'}: the checkpoint is of ${size}, and ${this.size} come before it`,
      })
    if (!root.equals(this.#frontier.root())) throw this.#mismatch('the checkpoint that follows them')
    this.#verified = { note, size }
    this.#checkpoints++
    return checkpoint
  }

  /** To be called when there are no more. @throws Fault */
  end(): void {
    const missed = this.#kept.find(({ size }) => size > this.size)
    if (missed !== undefined)
      throw new Fault({
        index: this.size,
        reason: `the kept checkpoint is of ${missed.size} entries, and there are only ${this.size}`,
      })
    const covered = this.#verified?.size ?? this.#kept.find(({ size }) => size === this.size)?.size
    if (covered === undefined) throw new Fault({ reason: 'there is no checkpoint, so nothing is proven' })
    if (covered !== this.size)
      throw new Fault({
        index: covered,
        reason: `no checkpoint covers the entries from ${covered} to ${this.size - 1}`,
      })
  }

  #meetKept(): void {
    for (const { size, root } of this.#kept)
      if (size === this.size && !root.equals(this.#frontier.root()))
        throw this.#mismatch('the kept checkpoint')
  }

  #mismatch(what: string): Fault {
    const first = this.#verified?.size ?? 0
    const range =
      first >= this.size - 1
        ? 'the entry is not what'
        : `one of the entries from here to ${this.size - 1} is not what`
    return new Fault({ index: first, reason: `${range} ${what} was signed for` })
  }
}

/** The checkpoint of a signed note. @param what it is, in words before the reason. @throws Fault */
export function openedBy(note: string, keys: readonly NoteKey[], what = ''): SignedCheckpoint {
  try {
    return openCheckpoint(note, keys)
  } catch (error) {
    throw new Fault({ reason: `${what}${reasonOf(error).replace(/\.$/, '')}` })
  }
}
