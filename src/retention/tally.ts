/** Why something goes. */
export type ExpiryReason =
  /** What was said is older than content is kept. */
  | 'content'
  /** The row is older than anything is kept. */
  | 'metadata'
  /** Nobody used the conversation. */
  | 'inactive'
  /** The conversation was deleted long enough ago. */
  | 'deleted'

export type ExpiryKind = 'calls' | 'messages' | 'snapshots' | 'conversations' | 'titles'

/** How much of one kind goes for one reason, of the users who share their periods. */
export interface Tally {
  readonly group: string
  readonly reason: ExpiryReason
  readonly kind: ExpiryKind
  readonly rows: number
  /** Bytes of content, as they are stored. */
  readonly bytes: number
}

/** Adds up what goes. */
export class Tallies {
  readonly #sums = new Map<string, Tally>()

  add({ group, reason, kind, rows, bytes }: Tally): void {
    if (rows === 0 && bytes === 0) return
    const key = `${group} ${reason} ${kind}`
    const sum = this.#sums.get(key)
    this.#sums.set(key, {
      group,
      reason,
      kind,
      rows: rows + (sum?.rows ?? 0),
      bytes: bytes + (sum?.bytes ?? 0),
    })
  }

  addAll(tallies: readonly Tally[]): void {
    for (const tally of tallies) this.add(tally)
  }

  /** In one order, whatever came first. */
  get list(): Tally[] {
    return [...this.#sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, tally]) => tally)
  }
}
