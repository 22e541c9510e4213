import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import {
  generateMasterKey,
  readMasterKeyFile,
  retireMasterKeys,
  writeMasterKeyFile,
} from '../privacy/master-key.ts'
import type { LoadedMasterKeys } from '../privacy/master-keys.ts'
import { type Actor, addEvents, eventRow, operator } from '../store/audit-events.ts'
import type { Store } from '../store/contents.ts'
import { leaseStore } from '../store/leases.ts'
import { rewrapAll, wrappedByOthers } from '../store/rotate-master.ts'

export interface MasterRotation {
  /** Keys and secrets that are wrapped anew. */
  readonly rewrapped: number
  /** The file that has a new key now; undefined when the key comes from elsewhere. */
  readonly file: string | undefined
  /** The file that its old ones are in now: another database, or an older backup, may need them. */
  readonly retired: string | undefined
}

const leaseName = 'rotate-master'

/** Milliseconds for which a run that says nothing holds others off. */
const leaseTime = 60_000

/**
 * Wraps every key anew with the current master key. Where that comes from a file, a new one is made in it first, unless an
 * earlier run has and was broken off; the old one stays in the file until nothing needs it. Gateways that run meanwhile read the
 * file again when they meet a key that they do not know. One run at a time: two would take each other's key out of the file.
 * @throws SteleError master_key_invalid, master_key_mismatch, rotation_running, store_unavailable
 */
export async function rotateMasterKey(
  database: Store,
  masters: LoadedMasterKeys,
  onProgress: (done: number, total: number) => void = () => undefined,
  by: Actor = operator,
): Promise<MasterRotation> {
  const leases = leaseStore(database)
  const holder = newId('instance')
  const hold = async (): Promise<void> => {
    const now = Date.now()
    if (!(await leases.take(leaseName, holder, { now, expiresAt: now + leaseTime })))
      throw new SteleError('rotation_running')
  }
  await hold()
  try {
    return await rotate(database, masters, { hold, onProgress, by })
  } finally {
    await leases.release(leaseName, holder)
  }
}

async function noteRotated(
  { kysely, contents }: Store,
  target: string,
  rewrapped: number,
  by: Actor,
): Promise<void> {
  const event = { userId: '', by, action: 'master_key.rotated', target, details: { rewrapped } } as const
  await kysely.transaction().execute(tx => addEvents(tx, contents, eventRow(event, Date.now())))
}

async function rotate(
  database: Store,
  masters: LoadedMasterKeys,
  {
    hold,
    onProgress,
    by,
  }: {
    readonly hold: () => Promise<void>
    readonly onProgress: (done: number, total: number) => void
    readonly by: Actor
  },
): Promise<MasterRotation> {
  const { file } = masters
  // Another run may have ended since the keys were read.
  masters.reload()
  if (file !== undefined && (await wrappedByOthers(database, masters.current)) === 0) {
    writeMasterKeyFile(file, [generateMasterKey(), ...readMasterKeyFile(file)])
    masters.reload()
  }
  const { current } = masters
  const total = await wrappedByOthers(database, current)
  const rewrapped = await rewrapAll(
    database,
    masters,
    current,
    async done => {
      await hold()
      onProgress(done, total)
    },
    by,
  )
  if (rewrapped > 0) await noteRotated(database, current.id, rewrapped, by)
  if (file === undefined) return { rewrapped, file, retired: undefined }
  await hold()
  const [first, ...old] = readMasterKeyFile(file)
  if (first?.id !== current.id) throw new SteleError('rotation_running')
  const retired = old.length === 0 ? undefined : retireMasterKeys(file, old)
  writeMasterKeyFile(file, [current])
  return { rewrapped, file, retired }
}
