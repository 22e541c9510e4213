import type { ForeignDatabase } from '../../db/foreign.ts'
import { openForeign } from '../../db/foreign.ts'
import { SteleError } from '../../errors.ts'
import { bitesoft } from './bitesoft.ts'
import { chatCoach } from './chat-coach.ts'
import { cortexai } from './cortexai.ts'
import type { FormatName } from './formats.ts'
import { kindOfFile } from './json-file.ts'
import { openJsonSource } from './json-source.ts'
import { procode } from './procode.ts'
import { Origin, type Source, type SourceItem, type SourceOptions, type TableReader } from './source.ts'
import { synthlang } from './synthlang.ts'
import { unreadParts } from './tables.ts'

type Note = (what: string, count: number) => void

/** Those that need more come first: their tables may be all that another needs, and others. */
const readers: readonly TableReader[] = [cortexai, procode, bitesoft, synthlang, chatCoach]

/**
 * Opens what is to be imported.
 * @param from a URL of a database, or the path of a file
 * @throws SteleError source_unreadable, source_unrecognized, database_url_invalid
 */
export async function openSource(
  from: string,
  as: FormatName | 'auto',
  options: SourceOptions,
  note: Note,
): Promise<Source> {
  if (/^(sqlite|postgres(ql)?)(\+\w+)?:/i.test(from)) return openTables(from, as, options, note)
  if ((await kindOfFile(from)) === 'database') {
    // As a URL, so that what the path holds is not taken for parts of one.
    const path = encodeURIComponent(from).replaceAll('%2F', '/')
    return openTables(`sqlite:${path}`, as, options, note)
  }
  if (readers.some(({ format }) => format === as)) throw unrecognized(from, as, 'it is no database')
  return openJsonSource(from, as, options, note)
}

async function openTables(
  url: string,
  as: FormatName | 'auto',
  options: SourceOptions,
  note: Note,
): Promise<Source> {
  const database = await openForeign(url, options.schema)
  try {
    const reader = readerOf(database, as)
    const origin = new Origin(reader.format, options, note)
    return {
      format: reader.format,
      display: database.display,
      async size() {
        let total = 0
        for (const { name } of database.tables) total += await database.count(name)
        return { total, unit: 'rows' }
      },
      items: () => itemsOf(database, reader, origin),
      close: () => database.close(),
    }
  } catch (error) {
    await database.close()
    throw error
  }
}

async function* itemsOf(
  database: ForeignDatabase,
  reader: TableReader,
  origin: Origin,
): AsyncGenerator<SourceItem> {
  yield* unreadParts(database, reader, origin)
  yield* reader.read(database, origin)
}

function readerOf(database: ForeignDatabase, as: FormatName | 'auto'): TableReader {
  const { display, tables } = database
  const found = tables.length === 0 ? 'no tables' : tables.map(({ name }) => name).join(', ')
  if (tables.some(({ name }) => name === 'stele_migrations'))
    throw unrecognized(
      display,
      as,
      "it is Stele's own; stele copy copies it, stele export writes what import reads",
    )
  if (as === 'auto') {
    const reader = readers.find(each => missingIn(database, each).length === 0)
    if (reader !== undefined) return reader
    const wanted = readers.map(({ format, required }) => `${format} (${Object.keys(required).join(', ')})`)
    throw unrecognized(display, as, `it has ${found}; known are ${wanted.join('; ')}`)
  }
  const reader = readers.find(({ format }) => format === as)
  if (reader === undefined) throw unrecognized(display, as, 'it is a database, and that is a file')
  const missing = missingIn(database, reader)
  if (missing.length > 0) throw unrecognized(display, as, `it lacks ${missing.join(', ')}; it has ${found}`)
  return reader
}

/** Tables and columns that a reader needs and a database lacks. */
function missingIn({ tables }: ForeignDatabase, { required }: TableReader): string[] {
  return Object.entries(required).flatMap(([name, columns]) => {
    const table = tables.find(each => each.name === name)
    if (table === undefined) return [`the table ${name}`]
    return columns
      .filter(column => !table.columns.includes(column))
      .map(column => `the column ${name}.${column}`)
  })
}

function unrecognized(source: string, format: string, reason: string): SteleError {
  return new SteleError('source_unrecognized', { source, format, reason })
}
