import { isUtf8 } from 'node:buffer'
import type { z } from 'zod'
import { reasonOf, SteleError } from '../errors.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import type { Store } from '../store/contents.ts'
import { headerLine, type RecordLine, recordLine } from './export-format.ts'
import { ImportRows, type PreparedLine } from './import-rows.ts'
import { writeLines } from './import-write.ts'
import { linesOf, type NumberedLine } from './lines.ts'

export interface ImportOptions {
  /** Go on after a line that cannot be imported; told of each by `onProblem`. */
  readonly keepGoing?: boolean | undefined
  /** Take API keys in: with them, whoever has such a key gets in. */
  readonly withKeys?: boolean | undefined
  /** Read every line and write nothing. */
  readonly dryRun?: boolean | undefined
  readonly onProblem?: ((problem: SteleError) => void) | undefined
  /** Told how many bytes are read. */
  readonly onProgress?: ((bytes: number) => void) | undefined
}

export interface ImportReport {
  /** Records that are new here. */
  readonly imported: number
  /** Records that were here already. */
  readonly present: number
  /** Lines that could not be imported. */
  readonly refused: number
}

/** Lines written in one transaction: so many, or so many bytes of them. */
const batchLines = 500
const batchBytes = 8 * 1024 * 1024

/**
 * Reads what `exportLines` wrote into a database. What is there already stays as it is, so an import may be repeated. The
 * hashes that thread conversations are made anew with this database's own secret, and calls go on where they were.
 * @throws SteleError import_invalid, at the first line that cannot be imported unless `keepGoing`; what stands before it
 * is then imported
 */
export async function importLines(
  database: Store,
  hashes: ConversationHashes,
  input: AsyncIterable<Uint8Array>,
  options: ImportOptions = {},
): Promise<ImportReport> {
  const run = new ImportRun(database, hashes, options)
  let last = 0
  for await (const line of linesOf(input)) {
    last = line.number
    await run.take(line)
    options.onProgress?.(line.offset)
  }
  return run.finish(last)
}

class ImportRun {
  readonly #database: Store
  readonly #options: ImportOptions
  readonly #rows: ImportRows
  #pending: PreparedLine[] = []
  #pendingBytes = 0
  #hasEnded = false
  #imported = 0
  #present = 0
  #refused = 0

  constructor(database: Store, hashes: ConversationHashes, options: ImportOptions) {
    this.#database = database
    this.#options = options
    this.#rows = new ImportRows(database, hashes)
  }

  async take(line: NumberedLine): Promise<void> {
    // Nothing of a file that is no export is imported, whatever was asked.
    if (line.number === 1) return void parse(headerLine, line)
    try {
      if (this.#hasEnded) throw invalid(line.number, 'it stands behind the last line')
      const record = parse(recordLine, line)
      if (record.type === 'held') return
      if (record.type === 'end') return this.#end(line.number, record.records)
      if (record.type === 'api_key' && this.#options.withKeys !== true)
        throw invalid(line.number, 'it holds an API key; to let it in: --with-keys')
      if (this.#options.dryRun !== true) await this.#prepare(line, record)
    } catch (error) {
      await this.#refuse(line.number, error)
    }
  }

  async finish(lastLine: number): Promise<ImportReport> {
    if (lastLine === 0) throw invalid(1, 'there is none')
    await this.#flush()
    if (!this.#hasEnded)
      await this.#refuse(lastLine + 1, invalid(lastLine + 1, 'it is missing: the file was cut short'))
    return { imported: this.#imported, present: this.#present, refused: this.#refused }
  }

  #end(line: number, records: number): void {
    this.#hasEnded = true
    // All but the header and this line itself.
    const before = line - 2
    if (records !== before) throw invalid(line, `it counts ${records} records, and ${before} stand before it`)
  }

  async #prepare({ number, bytes }: NumberedLine, record: RecordLine): Promise<void> {
    // A call is put together from messages that must be on record, so those that wait are written first.
    if (record.type === 'call' && this.#pending.some(({ kind }) => kind !== 'call')) await this.#flush()
    this.#pending.push(await this.#rows.prepare(number, record))
    this.#pendingBytes += bytes?.byteLength ?? 0
    if (this.#pending.length >= batchLines || this.#pendingBytes >= batchBytes) await this.#flush()
  }

  async #flush(): Promise<void> {
    const lines = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    this.#rows.forget()
    const { written, problems } = await writeLines(this.#database, lines, this.#options.keepGoing === true)
    this.#imported += written.length
    this.#present += lines.length - written.length - problems.length
    for (const { line, reason } of problems) await this.#refuse(line, invalid(line, reason))
  }

  /** Counts a line as refused, or gives up on it: then what stands before it is written first. */
  async #refuse(line: number, error: unknown): Promise<void> {
    if (!(error instanceof SteleError) || !isOfLine(error)) throw error
    const problem = error.code === 'import_invalid' ? error : invalid(line, error.message)
    if (this.#options.keepGoing !== true) {
      if (this.#pending.length > 0) await this.#flush()
      throw problem
    }
    this.#refused++
    this.#options.onProblem?.(problem)
  }
}

/** What is wrong with the line itself, and not with the database. */
function isOfLine({ status, code }: SteleError): boolean {
  return status < 500 || code === 'import_invalid' || code === 'content_unreadable'
}

function parse<T extends z.ZodType>(schema: T, { number, bytes }: NumberedLine): z.infer<T> {
  if (bytes === undefined) throw invalid(number, 'it is too long')
  if (!isUtf8(bytes)) throw invalid(number, 'it is not valid UTF-8')
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    // The parser's own message would quote the text.
    throw invalid(number, error instanceof RangeError ? reasonOf(error) : 'it is not valid JSON')
  }
  const checked = schema.safeParse(value)
  if (checked.success) return checked.data
  const issue = checked.error.issues[0]
  const where = (issue?.path ?? []).map(String).join('.')
  throw invalid(number, `${where === '' ? '' : `${where}: `}${issue?.message ?? 'not as expected'}`)
}

function invalid(line: number, reason: string): SteleError {
  return new SteleError('import_invalid', { line, reason })
}
