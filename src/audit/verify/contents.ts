import type { Reading } from '../../store/contents.ts'
import { type CommittingEvent, committedContent } from '../committed-content.ts'
import type { LoggedEvent } from '../log/reader.ts'
import { type BelievedLog, LoggedActs } from './acts.ts'
import { GoneContent } from './gone.ts'
import { ReplacedEnds } from './replaced.ts'
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
  readonly #replaced: ReplacedEnds
  #same = 0
  #explained = 0

  /** @param believed what of the log is not looked at */
  constructor(reading: Reading, believed: BelievedLog) {
    this.#reading = reading
    this.#gone = new GoneContent(reading, new LoggedActs(reading, believed))
    this.#replaced = new ReplacedEnds(reading, (index, event) => this.#isEnd(index, event))
  }

  get counts(): ContentCounts {
    return { same: this.#same, gone: this.#explained }
  }

  /** To be called of each entry, in their order. @throws Fault when the content is another one, or gone without a reason */
  async check(entry: LoggedEvent): Promise<void> {
    const { index, eventId, event } = entry
    if (event === undefined) return
    this.#gone.note(event)
    const verdict = await this.#judge(index, event)
    if (verdict === 'replaced') return this.#replaced.expect(entry, event)
    if (verdict === 'same') this.#same++
    else if (verdict === 'explained') this.#explained++
    else if (verdict !== 'none') throw new Fault({ index, eventId, ...verdict })
    await this.#replaced.meet(index, event)
  }

  /** To be called when all entries were checked. @throws Fault when a call has an end that no event tells */
  end(): Promise<void> {
    return this.#replaced.end()
  }

  async #judge(
    index: number,
    event: CommittingEvent,
  ): Promise<'same' | 'explained' | 'replaced' | 'none' | { readonly reason: string }> {
    const verdict = await committedContent(this.#reading, event)
    if (verdict.kind === 'changed') {
      const isErased = verdict.mayBeErased === true && (await this.#gone.isErased(index, event))
      return isErased ? 'explained' : { reason: verdict.reason }
    }
    if (verdict.kind !== 'gone') return verdict.kind
    if (await this.#gone.isExplained(index, event)) return 'explained'
    return { reason: 'the content is gone and no event of the log tells why' }
  }

  /** An end of somebody who is erased by then is committed to by nobody. */
  async #isEnd(index: number, event: CommittingEvent): Promise<boolean> {
    const verdict = await this.#judge(index, event)
    if (verdict === 'none') return event.outcome !== 'orphaned' && this.#gone.isErased(index, event)
    return verdict === 'same' || verdict === 'explained'
  }
}
