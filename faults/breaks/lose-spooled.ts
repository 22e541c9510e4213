import type { Operation } from '../../src/recorder/operations.ts'
import { Spool as Original } from '../../src/recorder/spool.ts'

export * from '../../src/recorder/spool.ts'

const every = 10

export class Spool extends Original {
  #appended = 0

  override append(operations: readonly Operation[]): Promise<void> {
    return super.append(operations.filter(() => ++this.#appended % every !== 0))
  }
}
