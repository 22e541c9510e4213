import { createHash } from 'node:crypto'
import type { ForeignDatabase, ForeignValue } from '../../db/foreign.ts'
import { derivedId, type IdKind } from '../../ids.ts'
import type { RecordLine } from '../export-format.ts'
import type { FernetKey } from './fernet.ts'
import type { FormatName } from './formats.ts'
import { columnText } from './values.ts'

/**
 * What became of some of a source's rows: the records they are here, or why they are none. Each row of a source comes
 * exactly once.
 */
export interface SourceItem {
  /** The table, or whatever holds such things in a file. */
  readonly table: string
  /** How many rows of it these are; 1 when left out, 0 when they were counted before. */
  readonly rows?: number
  /** Tables of which each one row more is told by the same records. */
  readonly also?: readonly string[]
  /** In the order in which they are written; what a record builds on comes first. */
  readonly records: readonly RecordLine[]
  /** Why there is no record. */
  readonly skipped?: string | undefined
}

/** How many rows a source has, to tell how far an import is. */
export interface SourceSize {
  readonly total: number
  readonly unit: 'rows' | 'bytes'
}

/** A source that has been recognized. */
export interface Source {
  readonly format: FormatName
  /** Where it is, and what it was taken for. */
  readonly display: string
  size(): Promise<SourceSize>
  /** What of it has been read, when that is told in bytes. */
  readonly bytesRead?: () => number
  items(): AsyncGenerator<SourceItem>
  close(): Promise<void>
}

export interface SourceOptions {
  /** Tells sources of one format apart whose rows carry the same ids and times. */
  readonly name?: string | undefined
  /** Whose the conversations are, where the source does not say. */
  readonly owner?: string | undefined
  /** What its content was encrypted with. */
  readonly key?: FernetKey | undefined
  /** The schema that holds the tables, where the database has such. */
  readonly schema?: string | undefined
}

/** What every reader needs: ids, users and a place for what is to be told. */
export class Origin {
  readonly format: FormatName
  readonly options: SourceOptions
  readonly #note: (what: string, count: number) => void

  constructor(format: FormatName, options: SourceOptions, note: (what: string, count: number) => void) {
    this.format = format
    this.options = options
    this.#note = note
  }

  /** Tells something that the counts of rows do not. */
  note(what: string, count = 1): void {
    this.#note(what, count)
  }

  /**
   * The id that a thing of this source always has here.
   * @param time milliseconds since 1970
   * @param parts what tells it from the others of its kind
   */
  id(kind: IdKind, time: number, ...parts: readonly (string | number | null)[]): string {
    const identity = JSON.stringify([this.format, this.options.name ?? '', kind, ...parts])
    return derivedId(kind, time, createHash('sha256').update(identity).digest())
  }

  /** A user whom the source knows by a number only, which another source gives to another one. */
  numberedUser(number: string): string {
    return this.options.name === undefined ? number : `${this.options.name}:${number}`
  }

  /** What a record says of where it came from, with whatever else is known of it. */
  metadata(originalId: string | null, more: Readonly<Record<string, unknown>> = {}): string {
    const known = Object.entries(more).filter(([, value]) => value !== null && value !== undefined)
    const source = this.options.name === undefined ? {} : { source_name: this.options.name }
    return JSON.stringify({
      imported_from: this.format,
      ...source,
      ...(originalId === null ? {} : { original_id: originalId }),
      ...Object.fromEntries(known),
    })
  }

  /** Text for a column; told when it could not be kept as it was. */
  text(value: ForeignValue | undefined, what: string): string | null {
    const text = columnText(value)
    if (value instanceof Uint8Array) this.note(`${what}: is not valid UTF-8, and was left out`)
    else if (value !== undefined && text !== value)
      this.note(`${what}: held NUL characters, half surrogate pairs or more than 100,000 characters`)
    return text
  }
}

/** A reader of one program's tables. */
export interface TableReader {
  readonly format: FormatName
  /** The tables it needs, each with the columns it needs. */
  readonly required: Readonly<Record<string, readonly string[]>>
  /** The tables it reads when they are there, and the columns it reads of every one. */
  readonly known: Readonly<Record<string, readonly string[]>>
  read(database: ForeignDatabase, origin: Origin): AsyncGenerator<SourceItem>
}
