/** A command that did what it was asked and whose answer is no: its message is printed, the exit code is 1. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly exitCode: number | undefined

  constructor(message: string, { exitCode, cause }: { exitCode?: number; cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.exitCode = exitCode
  }
}

/** A command that has said all there is to say, and whose answer is its exit code. */
export class Verdict extends Error {
  override readonly name = 'Verdict'
  readonly exitCode: number

  constructor(exitCode: number) {
    super()
    this.exitCode = exitCode
  }
}
