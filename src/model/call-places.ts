import { isFields } from './reply.ts'

type Fields = Readonly<Record<string, unknown>>

/**
 * Tells which call of a tool a piece of a stream belongs to. An index says so, but not with every service: some give all
 * calls the same one, others none. A name under another id begins another call, whatever its index.
 */
export class CallPlaces {
  readonly #places = new Map<number, number>()
  readonly #ids = new Map<number, string>()
  readonly #taken = new Set<number>()
  #last: number | undefined

  /** The place of the call that this piece, one of a delta's `tool_calls`, is of: its index as far as that can be. */
  of(piece: Fields): number {
    const { index } = piece
    const id = typeof piece['id'] === 'string' && piece['id'] !== '' ? piece['id'] : undefined
    const place = typeof index === 'number' ? this.#indexed(index, piece, id) : this.#unindexed(piece, id)
    if (id !== undefined && !this.#ids.has(place)) this.#ids.set(place, id)
    this.#last = place
    return place
  }

  #indexed(index: number, piece: Fields, id: string | undefined): number {
    const known = this.#places.get(index)
    const knownId = known === undefined ? undefined : this.#ids.get(known)
    const isOther = id !== undefined && knownId !== undefined && id !== knownId && isNamed(piece)
    if (known !== undefined && !isOther) return known
    return this.#open(index, index)
  }

  #unindexed(piece: Fields, id: string | undefined): number {
    const byId = id === undefined ? undefined : [...this.#ids].find(([, known]) => known === id)?.[0]
    if (byId !== undefined) return byId
    if (id === undefined && !isNamed(piece) && this.#last !== undefined) return this.#last
    return this.#open(this.#taken.size)
  }

  #open(wanted: number, index?: number): number {
    const place = this.#taken.has(wanted) ? Math.max(...this.#taken) + 1 : wanted
    this.#taken.add(place)
    if (index !== undefined) this.#places.set(index, place)
    return place
  }
}

function isNamed(piece: Fields): boolean {
  const called = isFields(piece['function']) ? piece['function'] : piece['custom']
  return isFields(called) && typeof called['name'] === 'string' && called['name'] !== ''
}
