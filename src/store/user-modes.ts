import type { ContentMode } from '../db/batch.ts'

/** For so long a user's mode is taken to be what it was, in milliseconds: asking for every batch would cost a round trip. */
const trustedFor = 5_000

const most = 10_000

/** How the content of users is kept, as far as it was looked up lately. `default` where nothing is set. */
export class UserModes {
  readonly #known = new Map<string, { readonly mode: ContentMode | 'default'; readonly at: number }>()

  get(userId: string): ContentMode | 'default' | undefined {
    const known = this.#known.get(userId)
    return known === undefined || performance.now() - known.at > trustedFor ? undefined : known.mode
  }

  set(userId: string, mode: ContentMode | 'default'): void {
    if (this.#known.size >= most) this.#known.clear()
    this.#known.set(userId, { mode, at: performance.now() })
  }

  forget(userId: string): void {
    this.#known.delete(userId)
  }
}
