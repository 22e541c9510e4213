import { closeSync, fsyncSync, openSync, statSync } from 'node:fs'

/** Waits until a file, or the names in a folder, are on the disk. */
export function flushToDisk(path: string): void {
  // Windows cannot open folders; there a rename is on the disk when it returns.
  if (process.platform === 'win32' && statSync(path).isDirectory()) return
  const handle = openSync(path, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
