import { type Command, Option } from 'commander'
import type { ChatCommandOptions } from './commands/chat.ts'
import { parseHttpUrl } from './parse-arguments.ts'

/** Talking with a model, on record. */
export function chatCommand(program: Command): void {
  program
    .command('chat')
    .description(
      'chat with a model in the terminal, every word on record; with piped input, answer it and exit',
    )
    .addOption(
      new Option('--gateway <url>', 'chat over a gateway instead of straight on the database')
        .argParser(parseHttpUrl)
        .conflicts(['store']),
    )
    .option('--key <key>', 'API key of the gateway, instead of STELE_API_KEY')
    .option('--model <name>', 'model to ask; the one asked last when left out')
    .option('--system <text>', 'system prompt')
    .addOption(new Option('--new', 'begin a new conversation without asking').conflicts('resume'))
    .option('--resume [id]', 'go on with the last conversation, or with this one')
    .option('--user <id>', 'whose conversation it is; your login name when left out')
    .option('--no-store', 'keep everything in memory and nothing afterwards')
    .option('--lines', 'piped input: each line is a question, or a command as in the terminal')
    .option('--json', 'piped input: print each reply as one line of JSON')
    .action(async (_options: unknown, command: Command) => {
      const { chatInTerminal } = await import('./commands/chat.ts')
      await chatInTerminal(command.optsWithGlobals<ChatCommandOptions>())
    })
}
