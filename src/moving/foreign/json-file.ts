import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { verifier } from 'stream-json/utils/verifier.js'
import { type Entry, openPromise, type ZipFile } from 'yauzl'
import { reasonOf, SteleError } from '../../errors.ts'
import { linesOf } from '../lines.ts'
import { ElementSplitter } from './json-split.ts'

/** A JSON text that can be read more than once. */
export interface JsonText {
  readonly name: string
  /** Bytes. */
  readonly size: number
  open(): Promise<Readable>
}

/** A file of JSON, or an archive of such files. */
export interface JsonFile {
  readonly path: string
  /** The files of an archive by their names; the file itself otherwise. */
  readonly texts: readonly JsonText[]
  /** How many files there are, texts and others. */
  readonly files: number
  close(): void
}

/** One of many values, with its name or place. */
export interface JsonEntry {
  readonly key: string | number
  readonly value: unknown
}

const zipMark = Buffer.from('PK\x03\x04', 'latin1')
const sqliteMark = Buffer.from('SQLite format 3\0', 'latin1')

/** What a file is, by how it begins. @throws SteleError source_unreadable */
export async function kindOfFile(path: string): Promise<'archive' | 'database' | 'text'> {
  return reading(path, async () => {
    if (!(await stat(path)).isFile()) throw new Error('it is no file')
    const file = await open(path)
    try {
      const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(16), position: 0 })
      const head = buffer.subarray(0, bytesRead)
      if (head.equals(sqliteMark)) return 'database'
      return head.subarray(0, 4).equals(zipMark) ? 'archive' : 'text'
    } finally {
      await file.close()
    }
  })
}

/** @throws SteleError source_unreadable */
export async function openJsonFile(path: string): Promise<JsonFile> {
  return reading(path, async () => {
    if ((await kindOfFile(path)) === 'archive') return openArchive(path)
    const { size } = await stat(path)
    const text = { name: path, size, open: async () => createReadStream(path, { highWaterMark: 1 << 18 }) }
    return { path, texts: [text], files: 1, close: () => undefined }
  })
}

async function openArchive(path: string): Promise<JsonFile> {
  const archive = await openPromise(path, { lazyEntries: true, autoClose: false })
  const entries: Entry[] = []
  for await (const entry of archive.eachEntry()) if (!entry.fileName.endsWith('/')) entries.push(entry)
  return {
    path,
    texts: entries.filter(({ fileName }) => fileName.endsWith('.json')).map(entry => textOf(archive, entry)),
    files: entries.length,
    close: () => archive.close(),
  }
}

function textOf(archive: ZipFile, entry: Entry): JsonText {
  return {
    name: entry.fileName,
    size: entry.uncompressedSize,
    open: () => archive.openReadStreamPromise(entry),
  }
}

/** A small JSON text as a whole; undefined when it is too large to be one, or none. */
export async function smallJson(text: JsonText): Promise<unknown> {
  if (text.size > 1024 * 1024) return undefined
  const chunks: Buffer[] = []
  for await (const chunk of await text.open()) chunks.push(chunk as Buffer)
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    return undefined
  }
}

/**
 * The elements of an array, the members of an object, or the lines of JSON Lines: whatever the text is, one at a time.
 * @param onBytes told how much was read
 * @throws SteleError source_invalid, with the place of the damage; source_unreadable
 */
export async function* entriesOf(
  text: JsonText,
  onBytes: (bytes: number) => void = () => undefined,
): AsyncGenerator<JsonEntry> {
  if ((await shapeOf(text)) === 'lines') return yield* lineEntries(text, onBytes)
  const splitter = new ElementSplitter()
  try {
    for await (const piece of decoded(text, await text.open(), onBytes))
      for (const [key, value] of splitter.push(piece)) yield { key, value }
    splitter.finish()
  } catch (error) {
    throw error instanceof SyntaxError || error instanceof RangeError ? await damageOf(text, error) : error
  }
}

async function* lineEntries(text: JsonText, onBytes: (bytes: number) => void): AsyncGenerator<JsonEntry> {
  for await (const { number, bytes, offset } of linesOf(await text.open())) {
    onBytes(offset)
    const line = bytes?.toString('utf8')
    if (line?.trim() === '') continue
    let value: unknown
    try {
      if (line === undefined) throw new Error('it is too long')
      value = JSON.parse(line)
    } catch (error) {
      // The parser's own message would quote the text.
      const reason = error instanceof SyntaxError ? 'it cannot be parsed' : reasonOf(error)
      throw new SteleError('source_invalid', { source: text.name, place: `line ${number}`, reason })
    }
    yield { key: number, value }
  }
}

/** An array or an object of entries by name, or an object on each line. */
async function shapeOf(text: JsonText): Promise<'elements' | 'lines'> {
  const source = await text.open()
  try {
    for await (const { bytes } of linesOf(beginningOf(source))) {
      const line = (bytes?.toString('utf8') ?? '').replace(/^\uFEFF/, '').trim()
      if (line === '') continue
      return !line.startsWith('[') && isEntryLine(line) ? 'lines' : 'elements'
    }
    return 'lines'
  } finally {
    source.destroy()
  }
}

/** Enough to see what it is. */
async function* beginningOf(source: Readable): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const chunk of source) {
    yield chunk as Buffer
    bytes += (chunk as Buffer).byteLength
    if (bytes > 64 * 1024 * 1024) return
  }
}

/** Whether a line alone is an entry: one that has messages, not a list of entries by name. */
function isEntryLine(line: string): boolean {
  try {
    const value: unknown = JSON.parse(line)
    return value !== null && typeof value === 'object' && ('messages' in value || 'mapping' in value)
  } catch {
    // A line that is damaged is told as such; one that goes on in the next is an object.
    return /^\{\s*"(session_id|user_id|messages|title|created_at)"/.test(line) && line.endsWith('}')
  }
}

async function* decoded(
  text: JsonText,
  source: Readable,
  onBytes: (bytes: number) => void,
): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let bytes = 0
  try {
    for await (const chunk of source) {
      const piece = decoder.decode(chunk as Buffer, { stream: true })
      bytes += (chunk as Buffer).byteLength
      onBytes(bytes)
      if (piece !== '') yield piece
    }
    decoder.decode()
  } catch (cause) {
    if (!(cause instanceof TypeError))
      throw new SteleError('source_unreadable', { source: text.name, reason: reasonOf(cause) }, { cause })
    const place = `byte ${bytes} or soon after`
    throw new SteleError('source_invalid', { source: text.name, place, reason: 'it is not valid UTF-8' })
  }
}

/** Reads the text once more to find where it is damaged: whoever takes values out of it keeps no count of its lines. */
async function damageOf(text: JsonText, error: unknown): Promise<SteleError> {
  const check = verifier.asStream()
  try {
    const source = Readable.from(decoded(text, await text.open(), () => undefined))
    await pipeline(source, check, async results => {
      for await (const _result of results);
    })
  } catch (found) {
    if (found instanceof SteleError) return found
    if (found instanceof Error && 'line' in found && 'pos' in found) {
      const reason = found.message.replace(/^.*Verifier (has|cannot parse input:)\s*/, '')
      const place = `line ${String(found.line)}, column ${String(found.pos)}`
      return new SteleError('source_invalid', { source: text.name, place, reason })
    }
  }
  // JSON that is in order and yet cannot be read: nested too deeply, or no list.
  const reason = error instanceof RangeError ? 'it is nested too deeply' : 'it is no list of entries'
  return new SteleError('source_invalid', { source: text.name, place: 'its beginning', reason })
}

async function reading<R>(source: string, work: () => Promise<R>): Promise<R> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof SteleError) throw cause
    throw new SteleError('source_unreadable', { source, reason: reasonOf(cause) }, { cause })
  }
}
