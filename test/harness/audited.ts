import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'

/** Notes so many events, some with details, of three users, and takes them into the log in a few steps. */
export async function noteEvents(stele: Stele, count: number, steps = 4): Promise<void> {
  for (let at = 0; at < count; at++) {
    await stele.auditEvents.add({
      userId: `user-${at % 3}`,
      by: operator,
      action: at % 2 === 0 ? 'app.created' : 'app.denied',
      target: at % 5 === 0 ? undefined : `thing-${at}`,
      outcome: at % 2 === 0 ? 'success' : 'denied',
      severity: at % 4 === 0 ? 'warning' : 'info',
      details: at % 3 === 0 ? undefined : { number: at, words: 'ü "世"' },
    })
    if (at % Math.ceil(count / steps) === 0) await takeAll(stele)
  }
  await takeAll(stele)
}

/** Takes everything that is queued into the log. */
export async function takeAll({ auditLog, database }: Pick<Stele, 'auditLog' | 'database'>): Promise<void> {
  const queued = () => database.kysely.selectFrom('audit_queue').select('id').limit(1).executeTakeFirst()
  while ((await queued()) !== undefined) await auditLog.sequence()
}

/** What an export writes. */
export async function exported(
  stele: Stele,
  options?: Parameters<Stele['audit']['export']>[1],
): Promise<{ readonly text: string; readonly events: number; readonly size: number }> {
  let text = ''
  const counts = await stele.audit.export(async lines => {
    text += lines
  }, options)
  return { text, ...counts }
}

/** The public keys of the log of a store. */
export async function vkeysOf({ auditLog }: Pick<Stele, 'auditLog'>): Promise<string[]> {
  return (await auditLog.keys()).map(({ vkey }) => vkey)
}
