import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Stele } from '../../src/stele.ts'

/** A call as an application records it: two events or more. */
export async function recordCall(stele: Pick<Stele, 'saveInteraction'>, text = 'Hi'): Promise<void> {
  await stele.saveInteraction({
    userId: 'ada',
    model: 'gpt-4o',
    messages: [{ role: 'user', content: text }],
    responseText: 'Hello!',
  })
}

/** The names of a folder's files of days, in their order. */
export async function dayFilesIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter(name => /^audit-.*\.jsonl$/.test(name)).sort()
}

/** The ids of the events in files of days; fails when one is there twice, or out of order. */
export async function eventsIn(folder: string, names?: readonly string[]): Promise<string[]> {
  const ids: string[] = []
  for (const name of names ?? (await dayFilesIn(folder)))
    for (const line of (await readFile(join(folder, name), 'utf8')).split('\n')) {
      if (!line.startsWith('{"index":')) continue
      const { index, event } = JSON.parse(line) as { index: number; event: { id: string } }
      expect(index).toBe(ids.length)
      ids.push(event.id)
    }
  expect(new Set(ids).size).toBe(ids.length)
  return ids
}

/** The ids of all events that the database has, in their order. */
export async function eventsOf({ database }: Pick<Stele, 'database'>): Promise<string[]> {
  const rows = await database.kysely.selectFrom('audit_events').select('id').orderBy('id').execute()
  return rows.map(({ id }) => id)
}

/** The vkeys of a store's log. */
export async function vkeysOf({ auditLog }: Pick<Stele, 'auditLog'>): Promise<string[]> {
  return (await auditLog.keys()).map(({ vkey }) => vkey)
}
