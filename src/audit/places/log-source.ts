/** How a signed checkpoint from outside stands to the log in the database. */
export type Standing =
  /** The log goes on from it. */
  | 'consistent'
  /** The log is shorter: the database is an older copy. */
  | 'older'
  /** At that size the log is another one. */
  | 'different'
  /** No key of this log has signed it. */
  | 'foreign'

export interface LogHead {
  /** Leaves that a signed checkpoint covers. */
  readonly size: number
  /** Since when the oldest event waits that has no place in the log yet, in milliseconds since 1970; undefined when none does. */
  readonly waitingSince: number | undefined
}

export interface StoredCheckpoint {
  readonly size: number
  readonly note: string
}

/** The log as those read it who take it elsewhere. Everything rejects while the database is away. */
export interface LogSource {
  head(): Promise<LogHead>
  /** The lines of the leaves from `from` on and before `to`: all that there are, at most so many as the source gives at once. */
  lines(from: number, to: number): Promise<string[]>
  /** Checkpoints of sizes beyond `after` and up to `to`, the smallest first. */
  checkpoints(after: number, to: number): Promise<StoredCheckpoint[]>
  /** The verifying keys that have signed checkpoints, the oldest first. */
  keys(): Promise<string[]>
  /** When the event of a leaf was made, in milliseconds since 1970. */
  timeOf(index: number): Promise<number | undefined>
  standingOf(note: string): Promise<Standing>
}
