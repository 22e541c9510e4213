/** What a client met when it sent a question. */
export interface Exchange {
  readonly callId: string | undefined
  /** What came of a reply with a status of success, be it whole or not. */
  readonly received: string | undefined
  /** The whole reply when it ended for the client: all its bytes, for a stream with its [DONE]. */
  readonly reply: string | undefined
  /** What the client met instead. */
  readonly trouble: string | undefined
  /** Whether the connection broke, and not by the client's doing. */
  readonly broke: boolean
  /** Whether the client went away by itself. */
  readonly left: boolean
}

/** A question as its client saw it; the reply is that of the time that brought one, if any did. */
export interface Asked extends Exchange {
  readonly mark: string
  readonly user: string
  readonly body: string
  readonly isStream: boolean
  /** Whether its stream leaves the usage out, because the client did not ask for it. */
  readonly hidesUsage: boolean
  /** Whether the client tells its conversation otherwise than before, after a question that was not answered. */
  readonly retells: boolean
  /** Sent along, so that the question may be repeated. */
  readonly idempotencyKey: string | undefined
  /** The other time, when it was sent twice. */
  readonly other: Exchange | undefined
}

/** A question as its provider saw it, each time that it was asked. */
export interface Served {
  readonly mark: string
  readonly request: string
  /** How it was answered. */
  readonly kind: string
  /** The status it was answered with, if it was. */
  readonly status: number | undefined
  /** Everything written in answer. */
  readonly sent: Buffer
  /** Whether that is a whole completion. */
  readonly isWhole: boolean
  readonly inputTokens: number
  readonly outputTokens: number
}
