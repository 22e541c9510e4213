/** A part of the work on the log that is done in one short transaction. Plain data: it crosses to the writer thread. */
export interface AuditStep {
  /** Leaves at most, unless what was queued at once is more. */
  readonly limit: number
  /** What has left the database: the log must still begin with it. */
  readonly published: readonly PublishedCheckpoint[]
}

/** A checkpoint that is known outside the database. */
export interface PublishedCheckpoint {
  readonly size: number
  /** In base64. */
  readonly root: string
}

export interface AuditStepResult {
  /** Leaves that the log has more now. */
  readonly sequenced: number
  /** False while there is more to do. */
  readonly isDone: boolean
  /** Another process is doing it. */
  readonly isElsewhere: boolean
  /** The checkpoint that was signed, if one was. */
  readonly checkpoint: SignedNote | undefined
}

export interface SignedNote extends PublishedCheckpoint {
  readonly note: string
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

/**
 * Does a step. Ended anywhere it is done wholly or not at all. @throws SteleError audit_log_broken when the log is not as it was
 * signed: then nothing is added to it
 */
export type DoAuditStep = (step: AuditStep) => Promise<AuditStepResult>
