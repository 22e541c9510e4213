import type { Command } from 'commander'
import { auditEventCommands } from '../audit-event-commands.ts'
import { auditKeyCommands } from '../audit-key-commands.ts'
import { auditProofCommands } from '../audit-proof-commands.ts'

/** What happened, and proof of it. Each group of subcommands registers itself. */
export function auditCommand(program: Command): void {
  const audit = program
    .command('audit')
    .description('what happened, who did it, and proof that nothing of it was changed')
  auditEventCommands(audit)
  auditProofCommands(audit)
  auditKeyCommands(audit)
}
