/** A command that did what it was asked and whose answer is no: its message is printed, the exit code is 1. */
export class Failure extends Error {
  override readonly name = 'Failure'
}
