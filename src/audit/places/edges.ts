import { type FileHandle, open } from 'node:fs/promises'
import { linesOf } from '../../moving/lines.ts'
import { readCheckpoint } from '../checkpoint.ts'
import type { StoredCheckpoint } from './log-source.ts'

/** An event as a line of a file. */
export interface EventLine {
  readonly index: number
  readonly text: string
}

/** Where the events of a file begin and end. */
export interface Edges {
  /** The leaf index of its first event; undefined when it has none. */
  readonly first: number | undefined
  /** Its last events in order, at most as many as were asked for. */
  readonly last: readonly EventLine[]
  /** Its last checkpoint, if that is not far from its end. */
  readonly checkpoint: StoredCheckpoint | undefined
}

const firstReading = 256 * 1024

/** Reads both ends of a file, whose lines may not all be whole or what they should be. @throws what the system says */
export async function edgesOf(path: string, count: number): Promise<Edges> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    return { first: await firstIndex(handle), ...(await lastLines(handle, size, count)) }
  } finally {
    await handle.close()
  }
}

async function firstIndex(handle: FileHandle): Promise<number | undefined> {
  for await (const { bytes } of linesOf(handle.createReadStream({ start: 0, autoClose: false }))) {
    const index = indexOf(bytes?.toString('utf8') ?? '')
    if (index !== undefined) return index
  }
  return undefined
}

async function lastLines(
  handle: FileHandle,
  size: number,
  count: number,
): Promise<Pick<Edges, 'last' | 'checkpoint'>> {
  for await (const { lines, isAll } of tailsOf(handle, size)) {
    const last = lines.flatMap((text): EventLine[] => {
      const index = indexOf(text)
      return index === undefined ? [] : [{ index, text }]
    })
    if (last.length > 0 || isAll)
      return { last: last.slice(-count), checkpoint: lines.map(checkpointIn).findLast(isFound) }
  }
  return { last: [], checkpoint: undefined }
}

/** The last checkpoint in a file; undefined when there is none. @throws what the system says */
export async function lastCheckpointIn(path: string): Promise<StoredCheckpoint | undefined> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    for await (const { lines } of tailsOf(handle, size)) {
      const found = lines.map(checkpointIn).findLast(isFound)
      if (found !== undefined) return found
    }
    return undefined
  } finally {
    await handle.close()
  }
}

/** The whole lines at the end of a file: some, then more, until it is all of them. */
async function* tailsOf(
  handle: FileHandle,
  size: number,
): AsyncGenerator<{ readonly lines: string[]; readonly isAll: boolean }> {
  for (let length = firstReading; ; length *= 4) {
    const start = Math.max(0, size - length)
    const buffer = Buffer.alloc(size - start)
    const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, start)
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n').slice(0, -1)
    // The first of them may lack its beginning.
    if (start > 0) lines.shift()
    yield { lines, isAll: start === 0 }
    if (start === 0) return
  }
}

function isFound(checkpoint: StoredCheckpoint | undefined): boolean {
  return checkpoint !== undefined
}

/** The leaf index of a line, if it is an event. */
export function indexOf(line: string): number | undefined {
  const index = memberOf(line, 'index')
  return typeof index === 'number' && Number.isSafeInteger(index) && index >= 0 ? index : undefined
}

/** The checkpoint that a line holds, if it holds one. Whether it is signed is for others to say. */
function checkpointIn(line: string): StoredCheckpoint | undefined {
  const note = memberOf(line, 'checkpoint')
  if (typeof note !== 'string') return undefined
  try {
    return { size: readCheckpoint(note).size, note }
  } catch {
    return undefined
  }
}

function memberOf(line: string, name: string): unknown {
  if (!line.startsWith(`{"${name}":`)) return undefined
  try {
    return (JSON.parse(line) as Record<string, unknown>)[name]
  } catch {
    return undefined
  }
}
