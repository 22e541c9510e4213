import { type GlobalOptions, withStele } from '../open-store.ts'
import { writeJson, writeLine } from '../output.ts'

export interface AuditKeyOptions extends GlobalOptions {
  readonly json?: boolean
}

/** Prints the vkeys of the log, the oldest first. */
export async function showAuditKeys(options: AuditKeyOptions): Promise<void> {
  const keys = await withStele(options, ({ auditLog }) => auditLog.keys())
  if (options.json === true)
    return writeJson(
      keys.map(({ id, vkey, createdAt, retiredAt }) => ({
        id,
        vkey,
        created_at: new Date(createdAt).toISOString(),
        retired_at: retiredAt === undefined ? null : new Date(retiredAt).toISOString(),
      })),
    )
  for (const { vkey } of keys) await writeLine(vkey)
}
