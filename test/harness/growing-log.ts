import type { LogSource } from '../../src/audit/places/log-source.ts'

/** When its events were made, about. */
export const noon = Date.parse('2026-11-22T12:00:00Z')

/** A log that grows when it is told to, with a checkpoint every ten leaves. */
export class GrowingLog implements LogSource {
  size = 0
  isAway = false
  readonly #checkpoints: number[] = []

  grow(count: number): void {
    this.size += count
    this.#checkpoints.push(this.size)
  }

  async head() {
    if (this.isAway) throw new Error('away')
    return { size: this.size, waitingSince: undefined }
  }

  async lines(from: number, to: number) {
    const count = Math.max(0, Math.min(to, this.size, from + 40) - from)
    return Array.from({ length: count }, (_, at) => lineOf(from + at))
  }

  async checkpoints(after: number, to: number) {
    return this.#checkpoints
      .filter(size => size > after && size <= to)
      .map(size => ({ size, note: noteOf(size) }))
  }

  async keys() {
    return ['log+00000000+key']
  }

  async timeOf(index: number) {
    return noon - 1_000 + index
  }

  async standingOf() {
    return 'consistent' as const
  }
}

/** The line of a leaf. */
export const lineOf = (index: number): string =>
  JSON.stringify({ index, salt: 'AA==', event: { id: `event ${index} ä` } })
const root = Buffer.alloc(32).toString('base64')
/** The note of a size. */
export const noteOf = (size: number): string => `log\n${size}\n${root}\n\n— log c2lnbmF0dXJl\n`
