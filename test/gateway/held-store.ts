import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { parseDatabaseUrl } from '../../src/db/database-url.ts'
import type { Place } from '../harness/databases.ts'

/** Keeps every writer out of a place until it is released; readers still read what is committed. */
export async function holdWriters({ databaseUrl, schema }: Place): Promise<{ release(): Promise<void> }> {
  const location = parseDatabaseUrl(databaseUrl)
  if (location.kind === 'sqlite') {
    const other = new DatabaseSync(location.path)
    other.exec('BEGIN IMMEDIATE')
    return { release: async () => other.close() }
  }
  const other = new pg.Client({ connectionString: databaseUrl })
  await other.connect()
  await other.query(`BEGIN; LOCK TABLE ${schema}.llm_requests, ${schema}.llm_responses IN EXCLUSIVE MODE`)
  return { release: () => other.end() }
}
