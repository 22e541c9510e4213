import { promptly, type Store } from '../store/contents.ts'
import { type AuditExportCounts, type AuditExportOptions, exportAudit } from './export/log.ts'
import { auditProofs } from './proofs.ts'
import { type LogVerdict, type VerifyLogOptions, verifyLog } from './verify/store.ts'

/** Proof of what happened: of the whole log, of one event, of its growth, and for others to verify. */
export function auditLibrary(database: Store) {
  return {
    ...auditProofs(promptly(database)),
    /**
     * Verifies the log as it is at one moment. @throws SteleError vkey_invalid, store_unavailable
     */
    verify: (options?: VerifyLogOptions): Promise<LogVerdict> => verifyLog(database, options),
    /**
     * Writes the log, or a selection of its events, as lines.
     * @param write takes some lines, each with its end; it is waited for @throws SteleError audit_log_broken,
     * audit_log_empty, content_unreadable, store_unavailable
     */
    export: (
      write: (lines: string) => Promise<void>,
      options?: AuditExportOptions,
    ): Promise<AuditExportCounts> => exportAudit(database, write, options),
  }
}
