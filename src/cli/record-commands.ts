import { type Command, Option } from 'commander'
import type { ExplainCallOptions } from './commands/calls-explain.ts'
import type { ListCallsOptions } from './commands/calls-list.ts'
import type { ReplayCallOptions } from './commands/calls-replay.ts'
import type { ShowCallOptions } from './commands/calls-show.ts'
import type { TailCallsOptions } from './commands/calls-tail.ts'
import type { ListConversationsOptions } from './commands/conversations-list.ts'
import type { ShowConversationOptions } from './commands/conversations-show.ts'
import { parseLimit } from './parse-arguments.ts'

/** What is on record: calls and conversations. */
export function recordCommands(program: Command): void {
  callsCommand(program)
  conversationsCommand(program)
}

function callsCommand(program: Command): void {
  const calls = program.command('calls').description('recorded calls')
  calls
    .command('list')
    .description('list calls, newest first')
    .option('--user <id>', 'only the calls of this user')
    .option('--limit <number>', 'at most so many', parseLimit, 50)
    .option('--before <call>', 'only calls older than this one')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { listCalls } = await import('./commands/calls-list.ts')
      await listCalls(command.optsWithGlobals<ListCallsOptions>())
    })
  calls
    .command('show <id>')
    .description('show a call: its facts, what was asked and what was answered')
    .option('--user <id>', 'whose call it is; finds it by its id alone when left out')
    .addOption(
      new Option('--request', 'write the request to stdout, byte for byte').conflicts([
        'sent',
        'response',
        'group',
        'json',
      ]),
    )
    .addOption(
      new Option(
        '--sent',
        'write a compressed request to stdout as its provider got it, byte for byte',
      ).conflicts(['response', 'group', 'json']),
    )
    .addOption(
      new Option('--response', 'write the reply to stdout, byte for byte').conflicts(['group', 'json']),
    )
    .option('--group', 'list every call made for the same request: retries and fallbacks')
    .option('--json', 'print JSON')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { showCall } = await import('./commands/calls-show.ts')
      await showCall(id, command.optsWithGlobals<ShowCallOptions>())
    })
  calls
    .command('explain <id>')
    .description('tell how the cost of a call comes about: what was used, at which price, from where')
    .option('--user <id>', 'whose call it is; finds it by its id alone when left out')
    .option('--json', 'print JSON')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { explainCall } = await import('./commands/calls-explain.ts')
      await explainCall(id, command.optsWithGlobals<ExplainCallOptions>())
    })
  calls
    .command('replay <id>')
    .description(
      'make a call again with its exact request, record it, and show how the reply differs; exits with 0 when it says the same, 1 when not, 2 on errors',
    )
    .option('--user <id>', 'whose call it is; finds it by its id alone when left out')
    .option('--model <name>', 'model to ask, as its provider knows it, instead of the one that was asked')
    .option('--provider <name>', 'provider to ask, instead of the one that was asked')
    .option('--json', 'print JSON')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { replayRecordedCall } = await import('./commands/calls-replay.ts')
      await replayRecordedCall(id, command.optsWithGlobals<ReplayCallOptions>())
    })
  calls
    .command('tail')
    .description('print calls as they are settled, until Ctrl-C')
    .option('--user <id>', 'only the calls of this user')
    .option('--json', 'print JSON, one line a call')
    .action(async (_options: unknown, command: Command) => {
      const { tailCalls } = await import('./commands/calls-tail.ts')
      await tailCalls(command.optsWithGlobals<TailCallsOptions>())
    })
}

function conversationsCommand(program: Command): void {
  const conversations = program.command('conversations').description('recorded conversations')
  conversations
    .command('list')
    .description('list conversations, newest first')
    .option('--user <id>', 'only the conversations of this user')
    .option('--limit <number>', 'at most so many', parseLimit, 50)
    .option('--before <conversation>', 'only conversations older than this one')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { listConversations } = await import('./commands/conversations-list.ts')
      await listConversations(command.optsWithGlobals<ListConversationsOptions>())
    })
  conversations
    .command('show <id>')
    .description('show a conversation: its messages, where it was forked from and what was forked from it')
    .option('--user <id>', 'whose conversation it is; finds it by its id alone when left out')
    .option('--limit <number>', 'at most so many of the newest messages', parseLimit, 1_000)
    .option('--json', 'print JSON')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { showConversation } = await import('./commands/conversations-show.ts')
      await showConversation(id, command.optsWithGlobals<ShowConversationOptions>())
    })
}
