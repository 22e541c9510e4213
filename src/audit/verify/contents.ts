import type { Reading } from '../../store/contents.ts'
import { committedContent } from '../committed-content.ts'
import type { LoggedEvent } from '../log/reader.ts'
import { Fault } from './verdict.ts'

/** How many events commit to content that is the one they committed to, and of how many it is gone, so that nobody can tell. */
export interface ContentCounts {
  readonly same: number
  readonly gone: number
}

/** Holds what is kept of calls, and of what applications said, against the events that commit to it. */
export class ContentCheck {
  readonly #reading: Reading
  #same = 0
  #gone = 0

  constructor(reading: Reading) {
    this.#reading = reading
  }

  get counts(): ContentCounts {
    return { same: this.#same, gone: this.#gone }
  }

  /** @throws Fault when the content is another one */
  async check({ index, eventId, event }: LoggedEvent): Promise<void> {
    if (event === undefined) return
    const verdict = await committedContent(this.#reading, event)
    if (verdict.kind === 'changed') throw new Fault({ index, eventId, reason: verdict.reason })
    if (verdict.kind === 'same') this.#same++
    if (verdict.kind === 'gone') this.#gone++
  }
}
