import type { Command } from 'commander'
import type { RepriceCommandOptions } from './commands/usage-reprice.ts'
import type { UnpricedOptions } from './commands/usage-unpriced.ts'
import { parseTime } from './parse-arguments.ts'

/** What calls took and cost. */
export function usageCommand(program: Command): void {
  const usage = program.command('usage').description('what calls took and cost')
  usage
    .command('unpriced')
    .description('list the models of calls whose cost is unknown')
    .option('--user <id>', 'only the calls of this user')
    .option('--since <date>', 'only calls begun at this time or later', parseTime)
    .option('--until <date>', 'only calls begun before this time', parseTime)
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { listUnpriced } = await import('./commands/usage-unpriced.ts')
      await listUnpriced(command.optsWithGlobals<UnpricedOptions>())
    })
  usage
    .command('reprice')
    .description(
      'compute costs anew by the prices of now for then: fill in what was unknown, correct what was wrong',
    )
    .option('--user <id>', 'only the calls of this user')
    .option('--model <name>', 'only calls that asked for this model, or that it answered')
    .option('--since <date>', 'only calls begun at this time or later', parseTime)
    .option('--until <date>', 'only calls begun before this time', parseTime)
    .option('--dry-run', 'only tell what would change')
    .option('--json', 'print what changed as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { repriceCalls } = await import('./commands/usage-reprice.ts')
      await repriceCalls(command.optsWithGlobals<RepriceCommandOptions>())
    })
}
