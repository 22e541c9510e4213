import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import type { JsonObject } from '../../model/json-object.ts'
import { addEvents, eventRow } from '../../store/audit-events.ts'
import type { Store } from '../../store/contents.ts'
import { holdGuard } from '../../store/secrets.ts'

/** A time in which nothing could be added to the log, because it or what waits for it was not as it was written. */
export interface Stretch {
  /** Milliseconds since 1970, UTC. */
  readonly since: number
  readonly reason: string
}

/** What is on record of one: that it began, or that it has ended. */
interface Told extends Stretch {
  readonly until?: number | undefined
}

const author = 'audit'

const begun = 'audit.log_held_up'
const ended = 'audit.log_recovered'

/** Events of these that are looked at: the newest that Stele has written counts. */
const lookedAt = 100

/** In the words of the partial indexes, which are used where a query says the same. */
const isNoCall = sql<boolean>`action NOT IN ('call.begun', 'call.settled')`

/** What puts on record that the log is held up, and that it goes on: once, whichever processes see it. */
export interface StretchBook {
  /** Puts on record that one has begun. Returns the one that lasts: that which a process knows may have ended without it. */
  heldUp(stretch: Stretch): Promise<Stretch>
  /**
   * Puts on record that it has ended. Called when nothing waits for the log.
   * @param stretch undefined where only another process may have seen one
   */
  wentOn(stretch: Stretch | undefined): Promise<void>
}

export function stretchBook(database: Store): StretchBook {
  const { kysely, prompt, contents } = database
  const tell = (tx: Kysely<Tables>, action: typeof begun | typeof ended, told: Told): Promise<void> => {
    const details = { ...told } satisfies JsonObject
    const outcome = action === begun ? 'failure' : 'success'
    return addEvents(tx, contents, eventRow({ userId: '', by: author, action, outcome, details }, Date.now()))
  }
  /** One process after the other. */
  const inTurn = (work: (tx: Kysely<Tables>, newest: Told | undefined) => Promise<void>): Promise<void> =>
    kysely.transaction().execute(async tx => {
      await holdGuard(tx, database)
      await work(tx, await newestIn(tx, contents))
    })
  return {
    async heldUp(stretch) {
      const newest = await newestIn(prompt, contents)
      const isOver = newest?.until !== undefined && newest.until >= stretch.since
      const lasting = isOver ? { ...stretch, since: Date.now() } : stretch
      if (!isOpen(newest))
        await inTurn(async (tx, newest) => {
          if (!isOpen(newest)) await tell(tx, begun, lasting)
        })
      return lasting
    },
    async wentOn(stretch) {
      const isDue = (newest: Told | undefined): boolean =>
        isOpen(newest) || (stretch !== undefined && (newest?.until ?? 0) < stretch.since)
      if (stretch === undefined && !(await isLogged(prompt))) return
      if (!isDue(await newestIn(prompt, contents))) return
      await inTurn(async (tx, newest) => {
        const over = isOpen(newest) ? newest : stretch
        if (over !== undefined && isDue(newest)) await tell(tx, ended, { ...over, until: Date.now() })
      })
    },
  }
}

function isOpen(told: Told | undefined): boolean {
  return told !== undefined && told.until === undefined
}

/** Whether the log was ever held up: nearly always it was not, and nothing more is asked. */
async function isLogged(db: Kysely<Tables>): Promise<boolean> {
  const row = await db
    .selectFrom('audit_log')
    .select('leaf_index')
    .where(isNoCall)
    .where('action', '=', begun)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** The newest event of these. One whose details cannot be read somebody else has written. */
async function newestIn(db: Kysely<Tables>, contents: Store['contents']): Promise<Told | undefined> {
  const rows = await db
    .selectFrom('audit_events')
    .selectAll()
    .where('actor', '=', author)
    .where(isNoCall)
    .where('action', 'in', [begun, ended])
    .orderBy('id', 'desc')
    .limit(lookedAt)
    .execute()
  for (const row of rows) {
    const told = await toldIn(db, contents, row)
    if (told !== undefined) return told
  }
  return undefined
}

async function toldIn(
  db: Kysely<Tables>,
  contents: Store['contents'],
  row: Tables['audit_events'],
): Promise<Told | undefined> {
  try {
    const [event] = await contents.open(db, 'audit_events', [row])
    const details: unknown = JSON.parse(event?.details ?? 'null')
    return isTold(details) ? details : undefined
  } catch (error) {
    if (error instanceof SteleError && error.code === 'content_unreadable') return undefined
    throw error
  }
}

function isTold(value: unknown): value is Told {
  const { since, until, reason } = (value ?? {}) as Record<string, unknown>
  return (
    typeof since === 'number' &&
    typeof reason === 'string' &&
    (until === undefined || typeof until === 'number')
  )
}
