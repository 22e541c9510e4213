import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseMasterKey, unwrapKey } from '../../src/privacy/master-key.ts'
import type { Stele } from '../../src/stele.ts'
import type { Place } from './databases.ts'

/** Every file in some folders, with what it holds. */
export async function filesIn(folders: readonly string[]): Promise<{ path: string; bytes: Buffer }[]> {
  const files: { path: string; bytes: Buffer }[] = []
  for (const folder of folders)
    for (const name of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []))
      if (name.isFile()) {
        const path = join(name.parentPath, name.name)
        files.push({ path, bytes: await readFile(path) })
      }
  return files
}

/** What must not be found of a user's keys: as they are, as they are wrapped, and as text of either. */
export async function keyBytesOf(
  { database }: Stele,
  { masterKey }: Place,
  userId: string,
): Promise<Buffer[]> {
  const rows = await database.kysely
    .selectFrom('data_keys')
    .selectAll()
    .where('user_id', '=', userId)
    .execute()
  const master = parseMasterKey(masterKey)
  return rows.flatMap(({ id, wrapped_key }) => {
    if (wrapped_key === null) return []
    const wrapped = Buffer.from(wrapped_key)
    const raw = unwrapKey(master, `data-key\0${userId}\0${id}`, wrapped)
    const texts = [raw, wrapped].flatMap(bytes => [
      Buffer.from(bytes.toString('base64')),
      Buffer.from(bytes.toString('hex')),
    ])
    // The ciphertext alone would do.
    return [raw, wrapped, wrapped.subarray(12, 44), ...texts]
  })
}

/** The files in which one of these is found. */
export function holding(
  files: readonly { path: string; bytes: Buffer }[],
  needles: readonly (string | Buffer)[],
): string[] {
  return files.filter(({ bytes }) => needles.some(needle => bytes.includes(needle))).map(({ path }) => path)
}
