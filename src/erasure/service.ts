import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { columnText } from '../model/json-object.ts'
import type { KeyRing } from '../privacy/key-ring.ts'
import { checkUserId } from '../store/users.ts'
import { type ErasureParts, type ErasureRun, runErasure } from './run.ts'
import { findRemains, type Remains } from './verify.ts'

export interface ErasureOptions {
  /** Why; kept with the events of the erasure, so it should not tell what is being erased. */
  readonly reason?: string | undefined
  /** Who asked for it: a user, or the id of an API key; `operator` when left out. */
  readonly actor?: string | undefined
  /** Files that `stele backup` wrote beside backups, from which the user's keys are taken. */
  readonly keyFiles?: readonly string[] | undefined
  /** Told after every step how many rows are done. */
  readonly onProgress?: ((rows: number) => void) | undefined
  /** Ends it between two steps: the user stays unreadable, and erasing once more does the rest. */
  readonly signal?: AbortSignal | undefined
}

export interface ErasureReport extends ErasureRun {
  readonly userId: string
  /** Entries of spools that were blanked. */
  readonly spooled: number
  /** Key files from which keys of the user were taken, with how many. */
  readonly keyFiles: readonly { readonly path: string; readonly keys: number }[]
  /** What is there that should not be: nothing. */
  readonly remains: readonly Remains[]
}

const longestReason = 1_000

type Parts = Omit<ErasureParts, 'onUnreadable' | 'onProgress' | 'signal'> & {
  readonly ring: Pick<KeyRing, 'forget'>
  /** What waits while the database is away. */
  readonly spools: { erase(userId: string, erasedAt: number): Promise<number> } | undefined
  readonly checkKeyFile: (path: string) => Promise<unknown>
  readonly strike: (path: string, userId: string, at: number) => Promise<number>
}

/** Erasing users, and looking whether anything of one is left. */
export function createErasure({ ring, spools, checkKeyFile, strike, ...parts }: Parts) {
  const { kysely }: { readonly kysely: Kysely<Tables> } = parts.database
  return {
    async erase(userId: string, options: ErasureOptions = {}): Promise<ErasureReport> {
      const { reason, actor = 'operator', keyFiles = [], onProgress, signal } = options
      checkUserId(userId)
      if (reason !== undefined) columnText('reason', reason, { least: 1, most: longestReason })
      // Before anything is destroyed: a name that is wrong must not be noticed after it.
      for (const path of keyFiles) await checkKeyFile(path)
      const erase = () =>
        runErasure(
          { ...parts, onProgress, signal, onUnreadable: () => ring.forget(userId) },
          { userId, actor, reason },
        )
      const run = await erase()
      const spooled = (await spools?.erase(userId, run.erasedAt)) ?? 0
      const struck: { path: string; keys: number }[] = []
      for (const path of keyFiles) struck.push({ path, keys: await strike(path, userId, run.erasedAt) })
      const remains = await remainsOnceErased(kysely, userId, erase)
      return { userId, ...run, spooled, keyFiles: struck, remains }
    },
    /** Users whose erasure broke off, or was begun by restoring an older backup. */
    async unfinishedErasures(): Promise<string[]> {
      const rows = await kysely
        .selectFrom('users')
        .select('id')
        .where('status', '=', 'erasing')
        .orderBy('id')
        .execute()
      return rows.map(({ id }) => id)
    },
    verifyErasure: (userId: string): Promise<Remains[]> => findRemains(kysely, checkUserId(userId)),
  }
}

/** Erasures of others that are gone on with, until nobody begins one in between. */
const mostOthers = 5

/** What is left of a user. One who came back meanwhile may be erased by somebody else by now: then that is ended first. */
async function remainsOnceErased(
  db: Kysely<Tables>,
  userId: string,
  erase: () => Promise<unknown>,
): Promise<Remains[]> {
  for (let others = 0; ; others++)
    try {
      return await findRemains(db, userId)
    } catch (error) {
      const isUnderWay = error instanceof SteleError && error.code === 'user_erasing'
      if (!isUnderWay || others >= mostOthers) throw error
      await erase()
    }
}
