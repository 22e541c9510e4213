import { hash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

export const defaultSpoolFolder = '.stele/spool'

/** Bytes. */
export const defaultSpoolLimit = 1024 * 1024 * 1024

const keyNameLength = 8

/** Tells whose spool a file is, without telling the key: another database's must be left alone. */
function prefixFor(key: Uint8Array): string {
  return `spool-${hash('sha256', Buffer.concat([Buffer.from('stele spool'), key])).slice(0, keyNameLength)}-`
}

/** The spool of one process. */
export function spoolPath(folder: string, key: Uint8Array, instanceId: string): string {
  return join(folder, `${prefixFor(key)}${instanceId}.db`)
}

/** The spools in a folder, oldest process first; only those of one database when its key is given. */
export async function spoolsIn(folder: string, key?: Uint8Array): Promise<string[]> {
  const prefix = key === undefined ? 'spool-' : prefixFor(key)
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return names
    .filter(name => name.startsWith(prefix) && name.endsWith('.db'))
    .sort()
    .map(name => join(folder, name))
}
