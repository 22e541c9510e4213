import type { Actor } from '../../store/audit-events.ts'
import { promptly, type Store } from '../../store/contents.ts'
import { rotateAuditKey } from './keys.ts'
import { type AuditLogReader, auditLogReader } from './reader.ts'
import { type CheckpointPlaces, Sequencer, type SequencerState } from './sequencer.ts'
import type { DoAuditStep } from './steps.ts'
import { stretchBook } from './stretches.ts'

/** How the log of audit events is kept by a process. */
export interface AuditOptions {
  /** What the log is called; a random name when left out. Said when the log is made: it keeps its name. */
  readonly origin?: string | undefined
  /** False in a process that leaves taking events into the log to others; true when left out. */
  readonly sequence?: boolean | undefined
}

/** The log of audit events: what it holds, and taking events into it. */
export interface AuditLog extends AuditLogReader {
  /** What the log is called. */
  readonly origin: string
  /** How it stands with this process. */
  state(): SequencerState
  /** Milliseconds for which the oldest event waits that is not in the log yet; 0 when all are. */
  lag(): Promise<number>
  /**
   * Takes everything that is queued into the log now, which else happens by itself within a second. Returns how many events this
   * process has added: another one may have been at it. @throws SteleError audit_log_broken, store_unavailable
   */
  sequence(): Promise<number>
  /** Makes another key the one that signs. The next checkpoint is signed by both. Returns their vkeys. */
  rotateKey(by?: Actor): Promise<{ readonly vkey: string; readonly retired: string }>
}

interface Parts {
  readonly database: Store
  readonly origin: string
  readonly doStep: DoAuditStep
  /** False while the database is away. */
  readonly isWanted: () => boolean
  readonly sequence: boolean | undefined
  readonly places?: CheckpointPlaces | undefined
  readonly onError: ((error: unknown) => void) | undefined
}

/** The log, and the end of this process's part in it. @param stop waits at most so many milliseconds for what is queued */
export function openAuditLog({ database, origin, sequence, isWanted, ...parts }: Parts): {
  readonly auditLog: AuditLog
  readonly stop: (milliseconds: number) => Promise<void>
} {
  const sequencer = new Sequencer({
    ...parts,
    database,
    stretches: stretchBook(database),
    isWanted: () => sequence !== false && isWanted(),
  })
  return {
    auditLog: {
      ...auditLogReader(promptly(database)),
      origin,
      state: () => sequencer.state,
      lag: () => sequencer.lag(),
      sequence: () => sequencer.sequence({ waits: true }),
      rotateKey: by => rotateAuditKey(database, by),
    },
    stop: milliseconds => sequencer.stop(milliseconds),
  }
}
