import type { Database } from '../db/database.ts'

/** Who does a piece of work that one process at a time should do. A lease that is not renewed passes to whoever asks next. */
export function leaseStore({ kysely }: Pick<Database, 'kysely'>) {
  return {
    /** Takes or renews a lease until `expiresAt`. False when another holds it at `now`. */
    async take(
      name: string,
      holder: string,
      { now, expiresAt }: { now: number; expiresAt: number },
    ): Promise<boolean> {
      const { numInsertedOrUpdatedRows } = await kysely
        .insertInto('leases')
        .values({ name, holder, expires_at: expiresAt })
        .onConflict(conflict =>
          conflict
            .column('name')
            .doUpdateSet({ holder, expires_at: expiresAt })
            .where(eb => eb.or([eb('leases.holder', '=', holder), eb('leases.expires_at', '<=', now)])),
        )
        .executeTakeFirst()
      return Number(numInsertedOrUpdatedRows ?? 0) > 0
    },
    async release(name: string, holder: string): Promise<void> {
      await kysely.deleteFrom('leases').where('name', '=', name).where('holder', '=', holder).execute()
    },
  }
}
