import type { ForeignRow } from '../../db/foreign.ts'
import type { Origin, SourceItem } from './source.ts'
import { countOf, nanousdOf } from './values.ts'

interface Sums {
  requests: number
  tokens: number
  nanousd: number
}

/** So many differences are told one by one. */
const toldDifferences = 20

/** Compares the daily sums of a source with its own calls: here sums follow from calls, and no call is made up for them. */
export class UsageCheck {
  readonly #origin: Origin
  readonly #days = new Map<string, Sums>()
  #told = 0

  constructor(origin: Origin) {
    this.#origin = origin
  }

  add(userId: string, time: number, tokens: number | null, nanousd: number | null): void {
    const key = `${new Date(time).toISOString().slice(0, 10)} ${userId}`
    const sums = this.#days.get(key) ?? { requests: 0, tokens: 0, nanousd: 0 }
    sums.requests++
    sums.tokens += tokens ?? 0
    sums.nanousd += nanousd ?? 0
    this.#days.set(key, sums)
  }

  async *items(rows: AsyncIterable<ForeignRow>): AsyncGenerator<SourceItem> {
    for await (const row of rows) {
      const { user_id, usage_date } = row
      const said = {
        requests: countOf(row['total_requests']) ?? 0,
        tokens: countOf(row['total_tokens']) ?? 0,
        nanousd: nanousdOf(row['total_cost']) ?? 0,
      }
      const key = `${String(usage_date).slice(0, 10)} ${String(user_id)}`
      const found = this.#days.get(key) ?? { requests: 0, tokens: 0, nanousd: 0 }
      if (
        said.requests === found.requests &&
        said.tokens === found.tokens &&
        said.nanousd === found.nanousd
      ) {
        yield { table: 'usage_daily', records: [] }
        continue
      }
      if (this.#told++ < toldDifferences)
        this.#origin.note(`usage_daily: ${key}: says ${inWords(said)}; its calls make ${inWords(found)}`)
      yield {
        table: 'usage_daily',
        records: [],
        skipped: 'it differs from the calls of its day, which count',
      }
    }
  }
}

function inWords({ requests, tokens, nanousd }: Sums): string {
  return `${requests} requests, ${tokens} tokens, ${nanousd / 1e9} USD`
}
