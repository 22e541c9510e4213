import type { ContentMode } from '../db/batch.ts'

/** For so long a mode is taken to be what it was, in milliseconds: asking for every batch would cost a round trip. */
const trustedFor = 5_000

const most = 10_000

/**
 * How content is kept that users say, or that is written with API keys, as far as it was looked up lately. `default` where
 * nothing is set.
 */
export class KnownModes {
  readonly #known = new Map<string, { readonly mode: ContentMode | 'default'; readonly at: number }>()

  get(id: string): ContentMode | 'default' | undefined {
    const known = this.#known.get(id)
    return known === undefined || performance.now() - known.at > trustedFor ? undefined : known.mode
  }

  /** As it was last looked up, however long ago. */
  last(id: string): ContentMode | 'default' | undefined {
    return this.#known.get(id)?.mode
  }

  forget(id: string): void {
    this.#known.delete(id)
  }

  set(id: string, mode: ContentMode | 'default'): void {
    if (this.#known.size >= most) this.#known.clear()
    this.#known.set(id, { mode, at: performance.now() })
  }
}
