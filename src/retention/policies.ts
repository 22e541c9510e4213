import type { Kysely } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { type JsonObject, keyText, pageLimit } from '../model/json-object.ts'
import { addEvents, eventRow, operator } from '../store/audit-events.ts'
import type { Contents, Store } from '../store/contents.ts'
import { checkUserId } from '../store/users.ts'
import { checkPeriods, type RetentionPeriods, userNames } from './periods.ts'

/** How long what belongs to one user is kept. A period that is left out is everybody's; 0 stands for one without an end. */
export interface RetentionPolicy extends RetentionPeriods {
  readonly userId: string
  /** Milliseconds since 1970, UTC. */
  readonly updatedAt: number
}

export function retentionPolicyStore({ kysely, contents }: Pick<Store, 'kysely' | 'contents'>) {
  return {
    /** Sets all the periods of a user, in place of earlier ones. @throws SteleError invalid_value, retention_invalid */
    async set(userId: string, periods: RetentionPeriods, now = Date.now()): Promise<RetentionPolicy> {
      checkPeriods(periods, userNames)
      const { contentDays, metadataDays, inactiveDays } = periods
      const row: Row<'retention_policies'> = {
        user_id: checkUserId(userId),
        content_days: contentDays ?? null,
        metadata_days: metadataDays ?? null,
        inactive_days: inactiveDays ?? null,
        updated_at: now,
      }
      const { user_id: _, ...set } = row
      await kysely.transaction().execute(async tx => {
        await tx
          .insertInto('retention_policies')
          .values(row)
          .onConflict(conflict => conflict.column('user_id').doUpdateSet(set))
          .execute()
        await note(tx, contents, userId, 'retention.set', set, now)
      })
      return fromRow(row)
    },
    /** Lets everybody's periods apply to a user again. False when the user had no others. */
    async unset(userId: string, now = Date.now()): Promise<boolean> {
      return kysely.transaction().execute(async tx => {
        const { numDeletedRows } = await tx
          .deleteFrom('retention_policies')
          .where('user_id', '=', keyText('userId', userId))
          .executeTakeFirst()
        if (Number(numDeletedRows) === 0) return false
        await note(tx, contents, userId, 'retention.unset', undefined, now)
        return true
      })
    },
    async get(userId: string): Promise<RetentionPolicy | undefined> {
      const row = await kysely
        .selectFrom('retention_policies')
        .selectAll()
        .where('user_id', '=', keyText('userId', userId))
        .executeTakeFirst()
      return row && fromRow(row)
    },
    /** Policies in order of their users, after `after`. */
    async list(options: { limit?: number; after?: string } = {}): Promise<RetentionPolicy[]> {
      const rows = await kysely
        .selectFrom('retention_policies')
        .selectAll()
        .$if(options.after !== undefined, query =>
          query.where('user_id', '>', keyText('after', options.after)),
        )
        .orderBy('user_id')
        .limit(pageLimit(options.limit, 100))
        .execute()
      return rows.map(fromRow)
    },
  }
}

function note(
  tx: Kysely<Tables>,
  contents: Contents,
  userId: string,
  action: 'retention.set' | 'retention.unset',
  details: JsonObject | undefined,
  now: number,
): Promise<void> {
  const event = { userId, by: operator, action, target: userId, details }
  return addEvents(tx, contents, eventRow(event, now))
}

function fromRow(row: Row<'retention_policies'>): RetentionPolicy {
  return {
    userId: row.user_id,
    contentDays: row.content_days ?? undefined,
    metadataDays: row.metadata_days ?? undefined,
    inactiveDays: row.inactive_days ?? undefined,
    updatedAt: row.updated_at,
  }
}
