import { type Command, Option } from 'commander'
import { auditCategories, auditSeverities } from '../model/audit-actions.ts'
import type { ListAuditOptions } from './commands/audit-list.ts'
import type { ShowAuditOptions } from './commands/audit-show.ts'
import type { AuditStatsOptions } from './commands/audit-stats.ts'
import type { TailAuditOptions } from './commands/audit-tail.ts'
import { parseLimit, parseTime } from './parse-arguments.ts'

/** What happened, and who did it. */
export function auditEventCommands(audit: Command): void {
  filtered(audit.command('list'))
    .description('list what happened, the newest first')
    .option('--since <time>', 'written at or after this time', parseTime)
    .option('--until <time>', 'written before this time', parseTime)
    .option('--before <event>', 'only events older than this one')
    .option('--limit <number>', 'at most so many', parseLimit, 50)
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { listAudit } = await import('./commands/audit-list.ts')
      await listAudit(command.optsWithGlobals<ListAuditOptions>())
    })
  audit
    .command('show <event>')
    .description('show an event with its details')
    .option('--user <id>', 'whose event it is, where two users have one of this id')
    .option('--content', 'show what an application said of a user too; that is on record as reading')
    .option('--json', 'print JSON')
    .action(async (event: string, _options: unknown, command: Command) => {
      const { showAudit } = await import('./commands/audit-show.ts')
      await showAudit(event, command.optsWithGlobals<ShowAuditOptions>())
    })
  filtered(audit.command('tail'))
    .description('print what happens as it is written, until it is stopped')
    .option('--json', 'print JSON Lines')
    .action(async (_options: unknown, command: Command) => {
      const { tailAudit } = await import('./commands/audit-tail.ts')
      await tailAudit(command.optsWithGlobals<TailAuditOptions>())
    })
  audit
    .command('stats')
    .description('count events by day, action and severity')
    .option('--user <id>', 'only those of this user, not by days')
    .option('--since <time>', 'from the day of this time on', parseTime)
    .option('--until <time>', 'before the day of this time', parseTime)
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { auditStatistics } = await import('./commands/audit-stats.ts')
      await auditStatistics(command.optsWithGlobals<AuditStatsOptions>())
    })
}

function filtered(command: Command): Command {
  return command
    .option('--user <id>', 'whom they concern')
    .option('--action <name>', 'as in login.failed; what an application said begins with app.')
    .option('--type <name>', 'what an application said under this type')
    .addOption(new Option('--category <name>', 'of this category').choices(auditCategories))
    .addOption(new Option('--severity <name>', 'of this severity').choices(auditSeverities))
    .option('--outcome <word>', 'that came out so, as in denied')
    .option('--actor <id>', 'who did it')
    .option('--target <id>', 'what they are about')
}
