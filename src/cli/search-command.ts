import type { Command } from 'commander'
import type { SearchCommandOptions } from './commands/search.ts'
import { parseLimit, parseTime } from './parse-arguments.ts'

export function searchCommand(program: Command): void {
  program
    .command('search [query...]')
    .description(
      'search the words of one user\'s messages: words (all of them), "phrases", -not, prefix*; the best hits first',
    )
    .option('--user <id>', 'whose messages are searched')
    .option('--conversation <id>', 'only this conversation')
    .option('--role <role>', 'only messages of user, or of assistant')
    .option('--from <time>', 'only messages of this time (ISO 8601) or later', parseTime)
    .option('--to <time>', 'only messages before this time (ISO 8601)', parseTime)
    .option('--limit <number>', 'at most so many, up to 100', parseLimit, 20)
    .option('--cursor <cursor>', 'go on where an earlier page ended')
    .option('--reindex', 'index what was recorded while search was turned off; no query')
    .option('--json', 'print JSON')
    .action(async (query: string[], _options: unknown, command: Command) => {
      const { search } = await import('./commands/search.ts')
      await search(query.join(' '), command.optsWithGlobals<SearchCommandOptions>())
    })
}
