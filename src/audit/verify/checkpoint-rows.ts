import type { AuditLogReader, StoredCheckpoint } from '../log/reader.ts'
import type { LogGrowth } from './growth.ts'
import { Fault } from './verdict.ts'

/** Checkpoints that are read at once. */
const atATime = 1_000

/** The stored checkpoints of a log, each met when the log has grown to its size. */
export class CheckpointRows {
  readonly #reader: AuditLogReader
  #after: number
  #rows: StoredCheckpoint[] = []
  #at = 0
  #isRead = false

  /** @param after the size of which checkpoints were verified earlier, and all before */
  constructor(reader: AuditLogReader, after: number) {
    this.#reader = reader
    this.#after = after === 0 ? -1 : after - 1
  }

  /** Verifies what there is for the size that the log has now. @throws Fault */
  async meet(growth: LogGrowth): Promise<void> {
    for (
      let next = await this.#next();
      next !== undefined && next.size <= growth.size;
      next = await this.#next()
    ) {
      this.#take(growth, next)
      this.#at++
    }
  }

  /** To be called when the log has ended. @throws Fault */
  async end(growth: LogGrowth): Promise<void> {
    await this.meet(growth)
    const next = await this.#next()
    if (next !== undefined) this.#take(growth, next)
  }

  #take(growth: LogGrowth, { note, size, root }: StoredCheckpoint): void {
    const signed = growth.checkpoint(note)
    if (signed.size !== size || !signed.root.equals(root))
      throw new Fault({
        index: growth.size,
        reason: `what is kept beside the checkpoint of ${size} is not what was signed`,
      })
  }

  async #next(): Promise<StoredCheckpoint | undefined> {
    const known = this.#rows[this.#at]
    if (known !== undefined || this.#isRead) return known
    this.#rows = await this.#reader.checkpoints({ after: this.#after, limit: atATime })
    this.#at = 0
    this.#isRead = this.#rows.length < atATime
    this.#after = this.#rows.at(-1)?.size ?? this.#after
    return this.#rows[0]
  }
}
