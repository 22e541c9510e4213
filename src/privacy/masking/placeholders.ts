import { builtInKinds, type Finding } from './finding.ts'

/** Text that looks like a placeholder, or like what stands for one that is not known any more, and is none. */
const literalKind = 'TEXT'

/** What a person finder beside Stele names, and Stele has no name for. */
export const otherKinds = [
  'PERSON',
  'LOCATION',
  'ORGANIZATION',
  'DATE_TIME',
  'NRP',
  'CRYPTO',
  'MEDICAL_LICENSE',
  'BANK_ACCOUNT',
  'LICENSE',
  'ENTITY',
] as const

const knownKinds: ReadonlySet<string> = new Set([...builtInKinds, ...otherKinds, literalKind])

const lookalike = /\[([A-Z][A-Z_]{0,31})(?:_(\d{1,9})\]| (\d{1,9}) not kept\])/g

/**
 * Which placeholder stands for which value, in one request and its reply. They are numbered as the values appear, so a
 * client that sends its history again gets the same ones: nothing need be remembered between requests.
 *
 * What looks like a placeholder and is none gets one itself (`[TEXT_1]`). So every placeholder in a masked text is one
 * of these, and putting the values back always gives the text that was there.
 */
export class Placeholders {
  readonly #kinds: ReadonlySet<string>
  readonly #names = new Map<string, string>()
  readonly #values = new Map<string, string>()
  readonly #counts = new Map<string, number>()
  /** Those that were taken over. */
  readonly #adopted = new Set<string>()

  /** @param kinds what placeholders are made for, beside what Stele finds itself */
  constructor(kinds: readonly string[] = []) {
    this.#kinds = kinds.length === 0 ? knownKinds : new Set([...knownKinds, ...kinds])
  }

  get size(): number {
    return this.#values.size
  }

  /** The placeholder of a value; a new one when it has none yet. */
  nameOf(kind: string, value: string): string {
    const known = this.#names.get(value)
    if (known !== undefined) return known
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    const name = `[${kind}_${count}]`
    this.#add(name, value)
    return name
  }

  /** How many different values of each kind have got one, without those that were taken over. */
  counts(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (const name of this.#values.keys()) {
      const kind = /^\[(.+)_\d+\]$/.exec(name)?.[1]
      if (kind === undefined || kind === literalKind || this.#adopted.has(name)) continue
      counts[kind] = (counts[kind] ?? 0) + 1
    }
    return counts
  }

  /** What a placeholder stands for. */
  valueOf(name: string): string | undefined {
    return this.#values.get(name)
  }

  /** Whether a text may go on to be a placeholder that is known. */
  isBeginning(text: string): boolean {
    for (const name of this.#values.keys())
      if (name.length > text.length && name.startsWith(text)) return true
    return false
  }

  /**
   * Takes over the placeholders of a text that was masked when it was recorded. What they stand for is not kept: in their
   * place a client is told so, and they are not given to anything else.
   */
  adopt(text: string): void {
    for (const { 0: name, 1: kind = '', 2: number } of text.matchAll(lookalike)) {
      if (number === undefined || !this.#kinds.has(kind) || this.#values.has(name)) continue
      this.#counts.set(kind, Math.max(this.#counts.get(kind) ?? 0, Number(number)))
      this.#add(name, `[${kind} ${number} not kept]`)
      this.#adopted.add(name)
    }
  }

  /** The stretches of a text that look like placeholders and must be told from them. */
  lookalikes(text: string): Finding[] {
    if (!text.includes('[')) return []
    return [...text.matchAll(lookalike)].flatMap(({ index, 0: found, 1: kind = '' }) => {
      // One that was taken over stands for itself.
      return this.#adopted.has(found) || !this.#kinds.has(kind)
        ? []
        : [{ start: index, end: index + found.length, kind: literalKind }]
    })
  }

  #add(name: string, value: string): void {
    this.#names.set(value, name)
    this.#values.set(name, value)
  }
}
