import type { Command } from 'commander'
import type { RunRetentionOptions } from './commands/retention-run.ts'
import type { SetRetentionOptions } from './commands/retention-set.ts'
import type { ShowRetentionOptions } from './commands/retention-show.ts'
import type { UnsetRetentionOptions } from './commands/retention-unset.ts'
import { parseDays, parseLimit } from './parse-arguments.ts'

/** How long things are kept, and letting go what has expired. */
export function retentionCommand(program: Command): void {
  const retention = program
    .command('retention')
    .description('how long things are kept; STELE_RETENTION_… say so for everybody')
  retention
    .command('run')
    .description('let go now what has expired; serving does so by itself')
    .option('--dry-run', 'only tell what would go')
    .option(
      '--vacuum',
      'then write the database file anew, without unused space; no process may have it open meanwhile',
    )
    .option('--json', 'print what went as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { letGo } = await import('./commands/retention-run.ts')
      await letGo(command.optsWithGlobals<RunRetentionOptions>())
    })
  retention
    .command('set')
    .description("set a user's own periods, in place of earlier ones; what is left out is everybody's")
    .requiredOption('--user <id>', 'whose they are')
    .option('--content <days>', 'how long what was said is kept, or forever', parseDays)
    .option('--metadata <days>', 'how long anything is known of a call, or forever', parseDays)
    .option(
      '--inactive <days>',
      'after how long a conversation that nobody uses is deleted, or forever',
      parseDays,
    )
    .option('--json', 'print the periods as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { setRetention } = await import('./commands/retention-set.ts')
      await setRetention(command.optsWithGlobals<SetRetentionOptions>())
    })
  retention
    .command('unset')
    .description("let everybody's periods apply to a user again")
    .requiredOption('--user <id>', 'whose they were')
    .action(async (_options: unknown, command: Command) => {
      const { unsetRetention } = await import('./commands/retention-unset.ts')
      await unsetRetention(command.optsWithGlobals<UnsetRetentionOptions>())
    })
  retention
    .command('show')
    .description("show everybody's periods, and those of users who have their own")
    .option('--user <id>', 'only those of this user')
    .option('--limit <number>', 'at most so many users', parseLimit, 100)
    .option('--after <id>', 'only users after this one')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { showRetention } = await import('./commands/retention-show.ts')
      await showRetention(command.optsWithGlobals<ShowRetentionOptions>())
    })
}
