import { randomBytes } from 'node:crypto'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { flushToDisk } from '../db/flush.ts'
import { reasonOf, SteleError } from '../errors.ts'

/**
 * Has `write` make a file beside `path` under a name of its own, then `finish` put it in its place; when either fails
 * nothing of it stays, and whatever is at `path` is untouched.
 * @throws SteleError would_overwrite
 */
export async function makeFile<R>(
  path: string,
  { overwrite }: { overwrite: boolean },
  write: (temporary: string) => Promise<R>,
  finish: (temporary: string) => void = temporary => rename(temporary, path),
): Promise<R> {
  if (!overwrite && existsSync(path)) throw new SteleError('would_overwrite', { path })
  const temporary = `${path}.${randomBytes(4).toString('hex')}.partial`
  try {
    const result = await write(temporary)
    finish(temporary)
    return result
  } catch (error) {
    try {
      rmSync(temporary, { force: true })
    } catch {
      // Where a file cannot even be taken away, none was made.
    }
    if (!(error instanceof SteleError) || error.details['path'] !== temporary) throw error
    throw new SteleError(error.code, { ...error.details, path }, { cause: error })
  }
}

function rename(temporary: string, path: string): void {
  try {
    renameSync(temporary, path)
    flushToDisk(dirname(path))
  } catch (error) {
    throw notWritable(path, error)
  }
}

/** The system's refusal to write a file, put into words. */
export function notWritable(path: string, error: unknown): Error {
  if (error instanceof SteleError) return error
  return new SteleError('file_not_writable', { path, reason: reasonOf(error) }, { cause: error })
}
