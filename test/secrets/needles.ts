/** Where one of many needles is in a haystack. */
export interface Place<N> {
  readonly needle: N
  readonly at: number
}

interface Needle {
  readonly needle: Buffer
}

/** Looks for any number of needles at once: a haystack is gone through once, however many there are. */
export class Needles<N extends Needle> {
  /** Whether any needle begins with two bytes. */
  readonly #mayBegin = new Uint8Array(65_536)
  readonly #byBeginning = new Map<number, N[]>()

  /** @param needle of four bytes at least */
  add(needle: N): void {
    const bytes = needle.needle
    this.#mayBegin[bytes.readUInt16LE(0)] = 1
    const beginning = bytes.readUInt32LE(0)
    this.#byBeginning.set(beginning, [...(this.#byBeginning.get(beginning) ?? []), needle])
  }

  placesIn(haystack: Buffer): Place<N>[] {
    const places: Place<N>[] = []
    const mayBegin = this.#mayBegin
    const last = haystack.byteLength - 4
    let next = haystack[0] ?? 0
    for (let at = 0; at <= last; at++) {
      const byte = next
      next = haystack[at + 1] as number
      if (mayBegin[byte | (next << 8)] === 0) continue
      for (const needle of this.#byBeginning.get(haystack.readUInt32LE(at)) ?? []) {
        const { byteLength } = needle.needle
        if (
          haystack.compare(
            needle.needle,
            0,
            byteLength,
            at,
            Math.min(at + byteLength, haystack.byteLength),
          ) === 0
        )
          places.push({ needle, at })
      }
    }
    return places
  }
}
