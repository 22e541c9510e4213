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
  /** The last checkpoint that was looked at, kept or verified, as far as it tells whose turn it is to sign. */
  #last: SignedCheckpoint | undefined
  readonly #signers = new Set<NoteKey>()
  #current: NoteKey | undefined

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
    for (const kept of this.#kept.toSorted((a, b) => a.size - b.size))
      if (kept.size <= size && kept.size > (this.#last?.size ?? -1)) this.#followKeys(kept)
    this.#followKeys(checkpoint)
    this.#verified = { note, size }
    this.#checkpoints++
    return checkpoint
  }

  /** Whoever has a key of another time signs nothing that comes after it: that would be of its thief. @throws Fault */
  #followKeys(checkpoint: SignedCheckpoint): void {
    const own = ownSigners(checkpoint)
    const named = new Map(checkpoint.said?.newKeys.map(({ id, at }) => [id, at]))
    const fresh = own.filter(key => !this.#signers.has(key))
    const newest = fresh.toSorted((a, b) => (named.get(a.id) ?? 0) - (named.get(b.id) ?? 0)).at(-1)
    if (newest === undefined && this.#current !== undefined && !own.includes(this.#current))
      throw new Fault({
        index: this.#last?.size ?? 0,
        reason: `the checkpoint of ${checkpoint.size} is signed with a key that was retired before it`,
      })
    this.#current = newest ?? this.#current
    for (const key of own) this.#signers.add(key)
    this.#last = checkpoint
  }

  /**
   * The newest checkpoint must be signed with the last of the keys, unless that one is seen to have been retired.
   * @throws Fault
   */
  requireNewest(): void {
    const last = this.#last
    if (last !== undefined) requireNewest(last, this.#keys, this.#signers)
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

/** The keys of the log itself that have signed a checkpoint; others are of witnesses. */
function ownSigners({ signedBy, origin }: SignedCheckpoint): readonly NoteKey[] {
  return signedBy.filter(({ name }) => name === origin)
}

/**
 * A checkpoint that is said to be the newest must be signed with the last of the keys of its log: one that only a retired key has
 * signed may be of whoever has stolen that.
 * @param seen keys that have signed before, and another one after them @throws Fault
 */
export function requireNewest(
  checkpoint: SignedCheckpoint,
  keys: readonly NoteKey[],
  seen: ReadonlySet<NoteKey> = new Set(),
): void {
  const newest = keys.findLast(({ name }) => name === checkpoint.origin)
  if (newest === undefined || seen.has(newest) || ownSigners(checkpoint).includes(newest)) return
  throw new Fault({
    reason: `the newest checkpoint, of ${checkpoint.size}, is not signed with the last of the keys, ${newest.name}+${newest.id}: of what was written before that key was made, verify with the older keys alone`,
  })
}

/** The checkpoint of a signed note. @param what it is, in words before the reason. @throws Fault */
export function openedBy(note: string, keys: readonly NoteKey[], what = ''): SignedCheckpoint {
  try {
    return openCheckpoint(note, keys)
  } catch (error) {
    throw new Fault({ reason: `${what}${reasonOf(error).replace(/\.$/, '')}` })
  }
}
