import { createHash, type Hash } from 'node:crypto'
import { columnsOf, type TableName } from '../db/tables.ts'

/**
 * A digest over rows in key order that comes out the same on every database. Each value is written with its kind and
 * length, so that no two different rows write the same.
 */
export class TableDigest {
  readonly #columns: readonly string[]
  readonly #hash: Hash = createHash('sha256')
  #rows = 0

  constructor(table: TableName) {
    this.#columns = columnsOf(table)
  }

  get rows(): number {
    return this.#rows
  }

  add(rows: readonly object[]): void {
    for (const row of rows) {
      this.#rows++
      let text = ''
      for (const column of this.#columns) {
        const value = (row as unknown as Record<string, unknown>)[column]
        if (value instanceof Uint8Array) {
          this.#hash.update(`${text}b${value.byteLength};`).update(value)
          text = ''
        } else if (typeof value === 'string') text += `t${Buffer.byteLength(value)};${value}`
        else text += value === null ? '-;' : `i${String(value)};`
      }
      this.#hash.update(text)
    }
  }

  /** The digest so far, as text. */
  digest(): string {
    return this.#hash.copy().digest('base64url')
  }
}

/** The digest of rows that are all at hand. */
export function digestOf(table: TableName, rows: readonly object[]): string {
  const digest = new TableDigest(table)
  digest.add(rows)
  return digest.digest()
}
