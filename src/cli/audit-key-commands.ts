import type { Command } from 'commander'
import type { AuditKeyOptions } from './commands/audit-key.ts'
import type { GlobalOptions } from './open-store.ts'

/** The keys that sign the log of audit events. */
export function auditKeyCommands(audit: Command): void {
  audit
    .command('key')
    .description('print the public keys of the audit log, the one that signs now last')
    .option('--json', 'print JSON: when each was made and retired')
    .action(async (_options: unknown, command: Command) => {
      const { showAuditKeys } = await import('./commands/audit-key.ts')
      await showAuditKeys(command.optsWithGlobals<AuditKeyOptions>())
    })
  audit
    .command('rotate-key')
    .description('sign the audit log with a new key from now on, once with both')
    .action(async (_options: unknown, command: Command) => {
      const { rotateKey } = await import('./commands/audit-rotate-key.ts')
      await rotateKey(command.optsWithGlobals<GlobalOptions>())
    })
}
