import { type Command, Option } from 'commander'
import { conversationOrders } from '../analytics/conversations.ts'
import type { UsageOptions } from './commands/usage.ts'
import type { UsageConversationsOptions } from './commands/usage-conversations.ts'
import { parseDay, parseDimensions, parseLimit } from './parse-arguments.ts'
import { priceCommands } from './price-commands.ts'

const formats = ['table', 'csv', 'json']

/** What calls took and cost. */
export function usageCommand(program: Command): void {
  const usage = program
    .command('usage')
    .description('what calls took and cost: calls, errors, tokens, cost, latency')
    .option('--by <list>', 'day, user, model, provider, key, document_type, operation', parseDimensions, [
      'day',
    ])
    .option('--since <day>', 'first day (UTC): 2026-01-31, or 7d for that many days ago', parseDay)
    .option('--until <day>', 'last day', parseDay)
    .option('--user <id>', 'only the calls of this user')
    .option('--model <model>', 'only calls that this model answered')
    .option('--provider <name>', 'only calls to this provider')
    .option('--key <id>', 'only calls with this API key')
    .option('--document-type <name>', 'only calls that generated such documents')
    .option('--operation <name>', 'only chat, embeddings, …')
    .option('--limit <number>', 'at most so many rows', parseLimit, 100)
    .addOption(new Option('--format <format>', 'how it is printed').choices(formats).default('table'))
    .option('--json', 'the same as --format json')
    .action(async (_options: unknown, command: Command) => {
      const { showUsage } = await import('./commands/usage.ts')
      await showUsage(command.optsWithGlobals<UsageOptions>())
    })
  usage
    .command('conversations')
    .description('the conversations that took most')
    .addOption(
      new Option('--order <what>', 'what is most').choices(Object.keys(conversationOrders)).default('cost'),
    )
    .action(async (_options: unknown, command: Command) => {
      const { showConversationUsage } = await import('./commands/usage-conversations.ts')
      await showConversationUsage(command.optsWithGlobals<UsageConversationsOptions>())
    })
  priceCommands(usage)
}
