import { createReadStream } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { reasonOf, SteleError } from '../errors.ts'
import { makeFile, notWritable } from '../moving/new-file.ts'
import type { Stele } from '../stele.ts'

/** A whole file, - for stdin. @throws SteleError source_unreadable */
export async function readWhole(path: string): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  if (path !== '-') return asSource(path, readFile(path))
  for await (const chunk of readInOrder([path])) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Bytes of files one after the other, - for stdin. @throws SteleError source_unreadable */
export async function* readInOrder(paths: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const path of paths) {
    const stream = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: 256 * 1024 })
    let last = 0x0a
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        yield chunk
        last = chunk.at(-1) ?? last
      }
    } catch (error) {
      throw new SteleError('source_unreadable', { source: path, reason: reasonOf(error) }, { cause: error })
    }
    // A file may end without the end of its last line.
    if (last !== 0x0a) yield Buffer.of(0x0a)
  }
}

async function asSource<R>(path: string, reading: Promise<R>): Promise<R> {
  try {
    return await reading
  } catch (error) {
    throw new SteleError('source_unreadable', { source: path, reason: reasonOf(error) }, { cause: error })
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
