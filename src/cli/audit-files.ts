import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { reasonOf, SteleError } from '../errors.ts'
import { makeFile, notWritable } from '../moving/new-file.ts'
import type { Stele } from '../stele.ts'

/** What is read whole, and how long it is at most. What Stele writes is a small part of that. */
const wholes = {
  checkpoint: { most: 64 * 1024, words: '64 KiB, as no checkpoint is' },
  proof: { most: 1024 * 1024, words: '1 MiB, as no proof is' },
} as const

/** A whole file, - for stdin. @throws SteleError source_unreadable, also when it is longer than what it is to be */
export async function readWhole(path: string, what: keyof typeof wholes): Promise<Buffer> {
  const { most, words } = wholes[what]
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of readInOrder([path])) {
    length += chunk.byteLength
    // Its last line may be given an end.
    if (length > most + 1)
      throw new SteleError('source_unreadable', { source: path, reason: `it is longer than ${words}` })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The line of a file, of several that are read one after the other. */
export interface FileLine {
  readonly file: string
  readonly line: number
}

/** Finds where a line is that was counted through all of the files. */
export class FileLines {
  /** The files so far, and how many lines come before each. */
  readonly #begun: { readonly file: string; readonly before: number }[] = []
  #lines = 0

  begin(file: string): void {
    this.#begun.push({ file, before: this.#lines })
  }

  count(chunk: Uint8Array): void {
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, at + 1)) this.#lines++
  }

  placeOf(line: number): FileLine | undefined {
    const found = this.#begun.findLast(({ before }) => before < line)
    return found && { file: found.file, line: line - found.before }
  }
}

/** Bytes of files one after the other, - for stdin. @throws SteleError source_unreadable */
export async function* readInOrder(paths: readonly string[], lines?: FileLines): AsyncGenerator<Uint8Array> {
  for (const path of paths) {
    lines?.begin(path)
    const stream = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: 256 * 1024 })
    let last = 0x0a
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        // Of one file they are the reader's.
        if (paths.length > 1) lines?.count(chunk)
        yield chunk
        last = chunk.at(-1) ?? last
      }
    } catch (error) {
      throw new SteleError('source_unreadable', { source: path, reason: reasonOf(error) }, { cause: error })
    }
    // A file may end without the end of its last line.
    if (last === 0x0a) continue
    const end = Buffer.of(0x0a)
    lines?.count(end)
    yield end
  }
}

/**
 * Has `write` fill a file that only its owner may read, and that is whole once it has its name.
 * @throws SteleError would_overwrite, file_not_writable
 */
export function writeFileWhole<R>(
  path: string,
  { overwrite }: { overwrite: boolean },
  fill: (write: (text: string) => Promise<void>) => Promise<R>,
): Promise<R> {
  return makeFile(path, { overwrite }, async temporary => {
    try {
      await using file = await open(temporary, 'wx', 0o600)
      const result = await fill(async text => void (await file.write(text)))
      await file.sync()
      return result
    } catch (error) {
      throw (error as NodeJS.ErrnoException).syscall === undefined ? error : notWritable(temporary, error)
    }
  })
}

/** Takes what is queued into the log, so that it is looked at too. @throws SteleError audit_log_broken */
export async function takeQueued({ auditLog }: Pick<Stele, 'auditLog'>): Promise<void> {
  await auditLog.sequence()
}
