import type { FormatName } from './formats.ts'
import type { SourceItem } from './source.ts'

/** What became of the rows of one table of a source; the numbers add up. */
export interface TableReport {
  readonly table: string
  readonly rows: number
  readonly mapped: number
  readonly skipped: readonly { readonly reason: string; readonly rows: number }[]
}

export interface ForeignReport {
  readonly format: FormatName
  readonly source: string
  readonly tables: readonly TableReport[]
  /** Records that are new here. */
  readonly imported: number
  /** Records that were here already. */
  readonly present: number
  /** What else there is to know, and how often it was so. */
  readonly notes: readonly { readonly what: string; readonly count: number }[]
  readonly dryRun: boolean
}

/** Counts the rows of a source and what becomes of them. */
export class Tally {
  readonly #tables = new Map<string, { mapped: number; skipped: Map<string, number> }>()
  readonly #notes = new Map<string, number>()
  imported = 0
  present = 0

  /** Tables are told in the order in which they come. */
  see({ table, also = [] }: SourceItem): void {
    for (const name of [table, ...also]) this.#of(name)
  }

  mapped({ table, rows = 1, also = [] }: SourceItem): void {
    this.#of(table).mapped += rows
    for (const other of also) this.#of(other).mapped++
  }

  skipped({ table, rows = 1, also = [] }: SourceItem, reason: string): void {
    // Records that no row of its own told of are lost with the rows that did, but must not go unsaid.
    if (rows === 0) this.note(`${table}: a record of it was not imported: ${reason}`, 1)
    this.#skip(table, rows, reason)
    for (const other of also) this.#skip(other, 1, reason)
  }

  note(what: string, count: number): void {
    this.#notes.set(what, (this.#notes.get(what) ?? 0) + count)
  }

  report(format: FormatName, source: string, dryRun: boolean): ForeignReport {
    return {
      format,
      source,
      tables: [...this.#tables].map(([table, { mapped, skipped }]) => ({
        table,
        rows: [...skipped.values()].reduce((sum, rows) => sum + rows, mapped),
        mapped,
        skipped: [...skipped].map(([reason, rows]) => ({ reason, rows })),
      })),
      imported: this.imported,
      present: this.present,
      notes: [...this.#notes].map(([what, count]) => ({ what, count })),
      dryRun,
    }
  }

  #skip(table: string, rows: number, reason: string): void {
    const { skipped } = this.#of(table)
    if (rows > 0) skipped.set(reason, (skipped.get(reason) ?? 0) + rows)
  }

  #of(table: string): { mapped: number; skipped: Map<string, number> } {
    let counts = this.#tables.get(table)
    if (counts === undefined) {
      counts = { mapped: 0, skipped: new Map() }
      this.#tables.set(table, counts)
    }
    return counts
  }
}
