import { type Command, Option } from 'commander'
import { compressionNames } from '../compression/levels.ts'
import { cacheModes } from '../model/caching.ts'
import { roles } from '../model/permissions.ts'
import { contentModes } from '../privacy/sealed-content.ts'
import { userStatuses } from '../store/users.ts'
import type { BackUpKeysOptions } from './commands/keys-backup.ts'
import type { CreateKeyOptions } from './commands/keys-create.ts'
import type { ListKeysOptions } from './commands/keys-list.ts'
import type { RevokeKeyOptions } from './commands/keys-revoke.ts'
import type { RotateKeyOptions } from './commands/keys-rotate.ts'
import type { RotateDataOptions } from './commands/keys-rotate-data.ts'
import type { CreateUserOptions } from './commands/users-create.ts'
import type { ListUsersOptions } from './commands/users-list.ts'
import type { UserPasswordOptions } from './commands/users-password.ts'
import type { UpdateUserOptions } from './commands/users-update.ts'
import { parseEmail, parseExpiry, parseLimit, parsePartition, parseScopes } from './parse-arguments.ts'

/** Who may use the gateway: keys and users. */
export function accessCommands(program: Command): void {
  keysCommand(program)
  usersCommand(program)
}

function keysCommand(program: Command): void {
  const keys = program.command('keys').description('API keys of the gateway')
  keys
    .command('create')
    .description(
      'make an API key, and its user if need be; the key is printed once, to stdout, and kept nowhere',
    )
    .requiredOption('--user <id>', 'whose key it is')
    .option('--name <name>', 'what it is for')
    .addOption(new Option('--service', 'it may act for any end user').conflicts(['admin', 'scope']))
    .addOption(
      new Option('--admin', 'it may do everything but read what is stored of others').conflicts('scope'),
    )
    .option('--scope <list>', 'roles or permissions, with commas between them (docs/access.md)', parseScopes)
    .option('--expires <when>', 'when it ends: 15m, 12h, 30d, 8w or an ISO 8601 date', text =>
      parseExpiry(text),
    )
    .addOption(contentMode('what is said with it'))
    .option('--mask-before-llm', 'mask what is told of people before a provider gets it')
    .option('--mask-in-storage', 'mask it in what is stored')
    .addOption(
      new Option('--compress <level>', 'compress the prompts of its requests').choices(compressionNames),
    )
    .addOption(
      new Option(
        '--cache <mode>',
        'how its calls are cached, whatever the configuration says; off holds for every request',
      ).choices(cacheModes),
    )
    .option(
      '--cache-partition <name>',
      'the partition of the configuration that its answers are shared in',
      parsePartition,
    )
    .option('--json', 'print the key with its facts as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { createKey } = await import('./commands/keys-create.ts')
      await createKey(command.optsWithGlobals<CreateKeyOptions>())
    })
  keys
    .command('list')
    .description('list API keys, without their secrets')
    .option('--user <id>', 'only the keys of this user')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { listKeys } = await import('./commands/keys-list.ts')
      await listKeys(command.optsWithGlobals<ListKeysOptions>())
    })
  keys
    .command('rotate <id>')
    .description('give an API key a new secret, printed once; the old one stays good for a while')
    .addOption(
      new Option('--grace <time>', 'how long, as in 2h; 0 for not at all')
        .argParser(text => (text === '0' ? 0 : parseExpiry(text)))
        .default(parseExpiry('1d'), '1d'),
    )
    .option('--json', 'print the key with its facts as JSON')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { rotateKey } = await import('./commands/keys-rotate.ts')
      await rotateKey(id, command.optsWithGlobals<RotateKeyOptions>())
    })
  keys
    .command('revoke <id>')
    .description('revoke an API key for good; <id> is the one that keys list shows')
    .option('--dry-run', 'only say which key it would be')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { revokeKey } = await import('./commands/keys-revoke.ts')
      await revokeKey(id, command.optsWithGlobals<RevokeKeyOptions>())
    })
  rotations(keys)
}

function rotations(keys: Command): void {
  keys
    .command('backup <file>')
    .description('write the keys of users’ content into a file of their own, as the master key wraps them')
    .option('--force', 'replace a file that is there already')
    .action(async (file: string, _options: unknown, command: Command) => {
      const { backUpKeys } = await import('./commands/keys-backup.ts')
      await backUpKeys(file, command.optsWithGlobals<BackUpKeysOptions>())
    })
  keys
    .command('restore <file>')
    .description('put the keys of such a file into the database that they were of')
    .action(async (file: string, _options: unknown, command: Command) => {
      const { restoreKeysOf } = await import('./commands/keys-backup.ts')
      await restoreKeysOf(file, command.optsWithGlobals())
    })
  keys
    .command('rotate-master')
    .description('wrap every data key anew with another master key; gateways may run meanwhile')
    .action(async (_options: unknown, command: Command) => {
      const { rotateMaster } = await import('./commands/keys-rotate-data.ts')
      await rotateMaster(command.optsWithGlobals())
    })
  keys
    .command('rotate-data')
    .description('give a user a new data key, and seal everything anew with it; gateways may run meanwhile')
    .requiredOption('--user <id>', 'whose key it is')
    .action(async (_options: unknown, command: Command) => {
      const { rotateData } = await import('./commands/keys-rotate-data.ts')
      await rotateData(command.optsWithGlobals<RotateDataOptions>())
    })
}

function contentMode(what: string): Option {
  return new Option('--content-mode <mode>', `how ${what} is kept, if not as everybody's`).choices([
    ...contentModes,
  ])
}

function usersCommand(program: Command): void {
  const users = program.command('users').description('users; a first call makes its user by itself')
  users
    .command('list')
    .description('list users in order of their ids')
    .option('--limit <number>', 'at most so many', parseLimit, 100)
    .option('--after <id>', 'only those after this one')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { listUsers } = await import('./commands/users-list.ts')
      await listUsers(command.optsWithGlobals<ListUsersOptions>())
    })
  users
    .command('create <id>')
    .description('make a user')
    .option('--email <address>', 'e-mail address', parseEmail)
    .option('--username <name>', 'name to show')
    .addOption(new Option('--role <role>', 'what the user is').choices(roles).default('member'))
    .addOption(contentMode('what the user says'))
    .option('--json', 'print the user as JSON')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { createUser } = await import('./commands/users-create.ts')
      await createUser(id, command.optsWithGlobals<CreateUserOptions>())
    })
  users
    .command('update <id>')
    .description('change what a user is, or whether they are let in')
    .addOption(new Option('--role <role>', 'what the user is').choices(roles))
    .addOption(new Option('--status <status>', 'suspended: let in nowhere').choices(userStatuses))
    .option('--json', 'print the user as JSON')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { updateUser } = await import('./commands/users-update.ts')
      await updateUser(id, command.optsWithGlobals<UpdateUserOptions>())
    })
  users
    .command('password <id>')
    .description('give a user a password for one login, which takes a new one along; printed, to stdout')
    .option('--stdin', 'read it from stdin instead of making one')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { setUserPassword } = await import('./commands/users-password.ts')
      await setUserPassword(id, command.optsWithGlobals<UserPasswordOptions>())
    })
}
