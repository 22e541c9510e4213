import type { Command } from 'commander'
import type { RepriceCommandOptions } from './commands/usage-reprice.ts'
import type { UnpricedOptions } from './commands/usage-unpriced.ts'

/** What of calls is not priced, and giving it a price: commands of `stele usage`. */
export function priceCommands(usage: Command): void {
  usage
    .command('unpriced')
    .description(
      'list the models of calls whose cost is unknown; takes --user, --since, --until and --json of usage',
    )
    .action(async (_options: unknown, command: Command) => {
      const { listUnpriced } = await import('./commands/usage-unpriced.ts')
      await listUnpriced(command.optsWithGlobals<UnpricedOptions>())
    })
  usage
    .command('reprice')
    .description(
      'compute costs anew by the prices of now for then: fill in what was unknown, correct what was wrong; takes --user, --model, --since, --until and --json of usage',
    )
    .option('--dry-run', 'only tell what would change')
    .action(async (_options: unknown, command: Command) => {
      const { repriceCalls } = await import('./commands/usage-reprice.ts')
      await repriceCalls(command.optsWithGlobals<RepriceCommandOptions>())
    })
}
