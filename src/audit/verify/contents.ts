import type { Reading } from '../../store/contents.ts'
import { committedContent } from '../committed-content.ts'
import type { LoggedEvent } from '../log/reader.ts'
import { type BelievedLog, LoggedActs } from './acts.ts'
import { GoneContent } from './gone.ts'
import { Fault } from './verdict.ts'

/** How many events commit to content that is the one they committed to, and of how many it is gone, as the log tells. */
export interface ContentCounts {
  readonly same: number
  readonly gone: number
}

/** Holds what is kept of calls, and of what applications said, against the events that commit to it. */
export class ContentCheck {
  readonly #reading: Reading
  readonly #gone: GoneContent
  #same = 0
  #explained = 0

  /** @param believed what of the log is not looked at */
  constructor(reading: Reading, believed: BelievedLog) {
    this.#reading = reading
    this.#gone = new GoneContent(reading, new LoggedActs(reading, believed))
  }

  get counts(): ContentCounts {
    return { same: this.#same, gone: this.#explained }
  }

  /** To be called of each entry, in their order. @throws Fault when the content is another one, or gone without a reason */
  async check({ index, eventId, event }: LoggedEvent): Promise<void> {
    if (event === undefined) return
    this.#gone.note(event)
    const verdict = await committedContent(this.#reading, event)
    if (verdict.kind === 'same') this.#same++
    if (verdict.kind === 'same' || verdict.kind === 'none') return
    const isExplained =
      verdict.kind === 'gone'
        ? await this.#gone.isExplained(index, event)
        : verdict.mayBeErased === true && (await this.#gone.isErased(index, event))
    if (isExplained) this.#explained++
    else if (verdict.kind === 'changed') throw new Fault({ index, eventId, reason: verdict.reason })
    else throw new Fault({ index, eventId, reason: 'the content is gone and no event of the log tells why' })
  }
}
