import { generateMasterKey, readMasterKeyFile, writeMasterKeyFile } from '../privacy/master-key.ts'
import type { LoadedMasterKeys } from '../privacy/master-keys.ts'
import type { Store } from '../store/contents.ts'
import { rewrapAll, wrappedByOthers } from '../store/rotate-master.ts'

export interface MasterRotation {
  /** Keys and secrets that are wrapped anew. */
  readonly rewrapped: number
  /** The file that has a new key now; undefined when the key comes from elsewhere. */
  readonly file: string | undefined
}

/**
 * Wraps every key anew with the current master key. Where that comes from a file, a new one is made in it first, unless an
 * earlier run has and was broken off; the old one stays in the file until nothing needs it. Gateways that run meanwhile read the
 * file again when they meet a key that they do not know.
 * @throws SteleError master_key_invalid, master_key_mismatch, store_unavailable
 */
export async function rotateMasterKey(
  database: Store,
  masters: LoadedMasterKeys,
  onProgress: (done: number, total: number) => void = () => undefined,
): Promise<MasterRotation> {
  const { file } = masters
  if (file !== undefined && (await wrappedByOthers(database, masters.current)) === 0) {
    writeMasterKeyFile(file, [generateMasterKey(), ...readMasterKeyFile(file)])
    masters.reload()
  }
  const { current } = masters
  const total = await wrappedByOthers(database, current)
  const rewrapped = await rewrapAll(database, masters, current, done => onProgress(done, total))
  if (file !== undefined) writeMasterKeyFile(file, [current])
  return { rewrapped, file }
}
