import { type Command, Option } from 'commander'
import { SteleError } from '../errors.ts'
import { formatNames } from '../moving/foreign/formats.ts'
import type { BackupCommandOptions } from './commands/backup.ts'
import type { CopyCommandOptions } from './commands/copy.ts'
import type { ExportCommandOptions } from './commands/export.ts'
import type { ImportCommandOptions } from './commands/import.ts'
import type { ImportFromOptions } from './commands/import-from.ts'
import type { RestoreCommandOptions } from './commands/restore.ts'

/** Backups, and the way from one database to another. */
export function movingCommands(program: Command): void {
  program
    .command('backup <file>')
    .description(
      'copy a database file while it is in use, and check the copy; users’ keys go into FILE.keys beside it, the master key into neither',
    )
    .option('--force', 'replace a file that is there already')
    .option('--json', 'print what was written as JSON')
    .action(async (file: string, _options: unknown, command: Command) => {
      const { makeBackup } = await import('./commands/backup.ts')
      await makeBackup(file, command.optsWithGlobals<BackupCommandOptions>())
    })
  program
    .command('restore <file>')
    .description('check a backup and put it in the place of a database file that no process has open')
    .option('--to <url>', 'the database to become it, instead of --database')
    .option('--keys <file>', 'the file with the keys, or a later one, instead of the one beside the backup')
    .option('--force', 'replace a database that holds data')
    .option('--json', 'print what was restored as JSON')
    .action(async (file: string, _options: unknown, command: Command) => {
      const { restore } = await import('./commands/restore.ts')
      await restore(file, command.optsWithGlobals<RestoreCommandOptions>())
    })
  program
    .command('copy')
    .description(
      'copy a database into an empty one of any kind, as it is stored; goes on where an earlier run was stopped',
    )
    .requiredOption('--from <url>', 'the database to read; it may be in use')
    .requiredOption('--to <url>', 'the database to fill')
    .option('--from-schema <name>', 'the schema to read, instead of DB_SCHEMA')
    .option('--to-schema <name>', 'the schema to fill, instead of DB_SCHEMA')
    .option('--json', 'print the tables with their rows as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { copy } = await import('./commands/copy.ts')
      await copy(command.optsWithGlobals<CopyCommandOptions>())
    })
  program
    .command('export [file]')
    .description(
      'write the record as JSON Lines with its content readable, to stdout or a file; never secrets',
    )
    .option('--user <id>', 'only what belongs to this user')
    .option('--with-keys', 'the hashes of API keys too, so that the same keys work where it is imported')
    .option('--force', 'replace a file that is there already')
    .action(async (file: string | undefined, _options: unknown, command: Command) => {
      const { exportRecord } = await import('./commands/export.ts')
      await exportRecord(file ?? '-', command.optsWithGlobals<ExportCommandOptions>())
    })
  program
    .command('import [file]')
    .description(
      'read what export wrote, - for stdin, or what another program kept; what is there already stays, so it may be repeated',
    )
    .option('--from <url or file>', 'the database or the file of another program; docs/import.md tells more')
    .addOption(
      new Option('--as <format>', 'what --from is').choices(['auto', ...formatNames]).default('auto'),
    )
    .option('--from-schema <name>', 'the schema that holds its tables, where the database has such')
    .option('--user <id>', 'whose the conversations are, where --from does not say')
    .option(
      '--source-name <name>',
      'tells two sources of one kind apart whose rows have the same ids and times',
    )
    .option('--source-key <file>', 'the key that its content was encrypted with')
    .option('--keep-going', 'skip lines that cannot be imported, and name each')
    .option('--with-keys', 'let the API keys of the file in')
    .option(
      '--dry-run',
      'only check every line; with --from, read everything and tell what would be imported',
    )
    .option('--json', 'print the counts as JSON')
    .action(async (file: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ImportCommandOptions & ImportFromOptions>()
      if ((file === undefined) === (options.from === undefined))
        throw new SteleError('usage', {
          reason: 'Name a file that export wrote, or with --from another source.',
        })
      if (file !== undefined) {
        const { importRecord } = await import('./commands/import.ts')
        await importRecord(file, options)
      } else {
        const { importFrom } = await import('./commands/import-from.ts')
        await importFrom(options)
      }
    })
}
