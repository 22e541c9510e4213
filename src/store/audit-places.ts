import type { Database } from '../db/database.ts'

/** How far the log has come in places outside the database. */
export function auditPlaceStore({ kysely }: Pick<Database, 'kysely'>) {
  return {
    /** Leaves that a place is known to have had; 0 when nothing is known of it. */
    async positionOf(id: string): Promise<number> {
      const row = await kysely
        .selectFrom('audit_places')
        .select('position')
        .where('id', '=', id)
        .executeTakeFirst()
      return row?.position ?? 0
    },
    async note(id: string, position: number): Promise<void> {
      const values = { position, updated_at: Date.now() }
      await kysely
        .insertInto('audit_places')
        .values({ id, ...values })
        .onConflict(conflict => conflict.column('id').doUpdateSet(values))
        .execute()
    },
  }
}

export type AuditPlaceStore = ReturnType<typeof auditPlaceStore>
