import { type Command, Option } from 'commander'
import type { CreateGrantOptions } from './commands/grants-create.ts'
import type { ListGrantsOptions } from './commands/grants-list.ts'
import type { GlobalOptions } from './open-store.ts'
import { parseExpiry, parseLimit } from './parse-arguments.ts'

/** Grants that let an administrator read what is stored of a user, over the gateway, for a while. */
export function grantCommands(program: Command): void {
  const grants = program
    .command('grants')
    .description(
      'break-glass grants: an administrator reads what is stored of one user, for a reason and a while',
    )
  grants
    .command('create')
    .description('make a grant; it and every use of it are on record')
    .requiredOption('--user <id>', 'whose content it opens')
    .requiredOption('--admin <id>', 'the administrator who may read it')
    .requiredOption('--reason <text>', 'why, 10 characters at least')
    .addOption(
      new Option('--expires <when>', 'when it ends, a day from now at most')
        .argParser(text => parseExpiry(text))
        .default(parseExpiry('1h'), '1h'),
    )
    .option('--json', 'print the grant as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { createGrant } = await import('./commands/grants-create.ts')
      await createGrant(command.optsWithGlobals<CreateGrantOptions>())
    })
  grants
    .command('list')
    .description('list grants, those that are over included')
    .option('--user <id>', 'only those for this user')
    .option('--admin <id>', 'only those of this administrator')
    .option('--limit <number>', 'at most so many', parseLimit, 100)
    .option('--after <id>', 'only those after this one')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { listGrants } = await import('./commands/grants-list.ts')
      await listGrants(command.optsWithGlobals<ListGrantsOptions>())
    })
  grants
    .command('revoke <id>')
    .description('end a grant')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { revokeGrant } = await import('./commands/grants-revoke.ts')
      await revokeGrant(id, command.optsWithGlobals<GlobalOptions>())
    })
}
