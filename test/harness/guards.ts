import { sql } from 'kysely'
import type { Database } from '../../src/db/database.ts'
import { down, up } from '../../src/db/migrations/0025-immutability.ts'

/** Drops every guard, as whoever owns the tables can. */
export async function dropGuards(database: Pick<Database, 'kysely' | 'schemaTypes'>): Promise<void> {
  for (const statement of down(database.schemaTypes)) await sql.raw(statement).execute(database.kysely)
}

/** Does what the guards refuse, and puts them back. */
export async function withoutGuards<R>(
  database: Pick<Database, 'kysely' | 'schemaTypes'>,
  work: () => Promise<R>,
): Promise<R> {
  await dropGuards(database)
  try {
    return await work()
  } finally {
    for (const statement of up(database.schemaTypes)) await sql.raw(statement).execute(database.kysely)
  }
}
