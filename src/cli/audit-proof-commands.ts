import { type Command, Option } from 'commander'
import { exportFormats } from '../audit/export/formats.ts'
import type { ConsistencyCommandOptions } from './commands/audit-consistency.ts'
import type { AuditExportCommandOptions } from './commands/audit-export.ts'
import type { ProveCommandOptions } from './commands/audit-prove.ts'
import type { VerifyCommandOptions } from './commands/audit-verify.ts'
import type { VerifyProofOptions } from './commands/audit-verify-proof.ts'
import { parseTime } from './parse-arguments.ts'

const keyWords =
  'public key of the log (vkey), which is no secret, instead of those in the database; may be given more than once, the one that signs now last'

/** Proof that nothing was changed, and what others need to see it for themselves. */
export function auditProofCommands(audit: Command): void {
  audit
    .command('verify')
    .description(
      'verify every event, the log and its checkpoints; exits with 1 and names the first entry that is wrong',
    )
    .option(
      '--from <files...>',
      'verify an export or daily files in their order, - for stdin; needs no database',
    )
    .option('--key <vkey...>', keyWords)
    .option('--checkpoint <files...>', 'checkpoints that were kept: the log must still begin with each')
    .option('--incremental', 'look only at what came after the newest --checkpoint')
    .option(
      '--contents',
      'also hold requests, replies and what applications said against what the events commit to, and name calls that no event tells of',
    )
    .option('--save <file>', 'keep the newest verified checkpoint here for the next time')
    .option('--json', 'print the verdict as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { verifyAudit } = await import('./commands/audit-verify.ts')
      await verifyAudit(command.optsWithGlobals<VerifyCommandOptions>())
    })
  audit
    .command('prove <event>')
    .description(
      'print a proof, as JSON, that the log has this event; verify-proof or any other verifier reads it',
    )
    .option('--user <id>', 'whose event it is, where two users have one of this id')
    .option('--output <file>', 'write it to a new file')
    .action(async (event: string, _options: unknown, command: Command) => {
      const { proveEvent } = await import('./commands/audit-prove.ts')
      await proveEvent(event, command.optsWithGlobals<ProveCommandOptions>())
    })
  audit
    .command('verify-proof <file>')
    .description(
      'verify a proof that prove or consistency printed, - for stdin; with --key it needs no database',
    )
    .option('--key <vkey...>', keyWords)
    .action(async (file: string, _options: unknown, command: Command) => {
      const { verifyProof } = await import('./commands/audit-verify-proof.ts')
      await verifyProof(file, command.optsWithGlobals<VerifyProofOptions>())
    })
  audit
    .command('consistency <older> <newer>')
    .description(
      'print a proof, as JSON, that the log has only grown; both are numbers of entries, or files with checkpoints',
    )
    .option('--key <vkey...>', keyWords)
    .option('--output <file>', 'write it to a new file')
    .action(async (older: string, newer: string, _options: unknown, command: Command) => {
      const { proveConsistency } = await import('./commands/audit-consistency.ts')
      await proveConsistency(older, newer, command.optsWithGlobals<ConsistencyCommandOptions>())
    })
  audit
    .command('export')
    .description('write the log to stdout or a new file; all of it, as JSON Lines, is what can be verified')
    .addOption(
      new Option('--format <format>', 'JSON Lines that can be verified, OCSF 6003, or CloudEvents 1.0')
        .choices(exportFormats)
        .default('jsonl'),
    )
    .option('--user <id>', 'only events of this user')
    .option('--since <time>', 'only events from this day or time on', parseTime)
    .option('--until <time>', 'only events before this day or time', parseTime)
    .option(
      '--contents',
      'with what events commit to, where it is not erased: digests of calls, and what applications said',
    )
    .option('--no-proofs', 'leave out the proofs of a selection')
    .option('--output <file>', 'a new file')
    .option('--force', 'replace a file that is there already')
    .action(async (_options: unknown, command: Command) => {
      const { exportAuditLog } = await import('./commands/audit-export.ts')
      await exportAuditLog(command.optsWithGlobals<AuditExportCommandOptions>())
    })
}
