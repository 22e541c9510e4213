import type { Command } from 'commander'
import type { ClearCacheOptions } from './commands/cache-clear.ts'
import type { CacheStatsOptions } from './commands/cache-stats.ts'

/** Answers that may be given again. */
export function cacheCommand(program: Command): void {
  const cache = program.command('cache').description('answers that may be given again')
  cache
    .command('stats')
    .description('show how many there are, how large, and how often they were given')
    .option('--user <id>', "only those that this user's calls have made")
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { cacheStats } = await import('./commands/cache-stats.ts')
      await cacheStats(command.optsWithGlobals<CacheStatsOptions>())
    })
  cache
    .command('clear')
    .description('remove them: all, or those that the options name')
    .option('--user <id>', "only those that this user's calls have made, shared ones too")
    .option('--model <model>', 'only those of this model, as its provider knows it')
    .option('--json', 'print how many as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { clearCache } = await import('./commands/cache-clear.ts')
      await clearCache(command.optsWithGlobals<ClearCacheOptions>())
    })
}
