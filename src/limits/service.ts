import type { Store } from '../store/contents.ts'
import { type Caps, checkCaps } from './caps.ts'
import { examineCounters, type Miscount, repairCounters } from './examine.ts'
import { keptAfterEnd } from './ledger.ts'
import type { ReservationRules } from './reserve.ts'
import { limitStore } from './store.ts'
import { checkTimeZone } from './windows.ts'

export interface LimitOptions extends ReservationRules {
  /** Caps for each user of whom nothing else is set. */
  readonly eachUser?: Caps | undefined
  /** The time zone whose days and months are counted, as in Europe/Berlin; kept in the database, UTC at first. */
  readonly timeZone?: string | undefined
  /**
   * What becomes of calls that a limit may apply to while the database is away, when nobody can tell what is left: 'refuse' when left
   * out; 'allow' counts them when it is back.
   */
  readonly whenAway?: 'refuse' | 'allow' | undefined
}

export interface Limits extends ReturnType<typeof limitStore> {
  /** The counters of now that do not say what the calls on record come to: none, unless somebody has changed the database. */
  examine(): Promise<Miscount[]>
  /** Puts such counters right. Returns what they said. */
  repair(): Promise<Miscount[]>
  /** Removes counters that nobody needs any more, now and then. */
  tidy(): Promise<void>
}

/** Milliseconds between two looks for such counters. */
const tidyEvery = 600_000

export function createLimits(database: Pick<Store, 'kysely' | 'holding' | 'snapshot' | 'contents'>): Limits {
  let tidiedAt = performance.now()
  return {
    ...limitStore(database),
    examine: () => examineCounters(database),
    repair: () => repairCounters(database),
    async tidy() {
      if (performance.now() - tidiedAt < tidyEvery) return
      tidiedAt = performance.now()
      await database.kysely
        .deleteFrom('limit_counters')
        .where('window_end', '<', Date.now() - 2 * keptAfterEnd)
        .execute()
    },
  }
}

/** @throws SteleError invalid_value */
export function checkLimits({ eachUser = {}, timeZone }: LimitOptions): void {
  checkCaps(eachUser)
  if (timeZone !== undefined) checkTimeZone(timeZone)
}
