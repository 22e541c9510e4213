import { exclusively } from './sqlite/file-lock.ts'

/** A lock of the operating system, which ends with its process, whatever ended that. */
export interface FileLock {
  release(): void
}

/**
 * Takes the lock that stands in this file, which is made if need be, with its folder; undefined when another process has it.
 * @throws what the system says when the file cannot be made
 */
export function claimFile(path: string): FileLock | undefined {
  const held = exclusively(path)
  return held && { release: () => held.close() }
}
