import type { Command } from 'commander'
import type { CurrentOptions } from './commands/migrate-current.ts'
import type { DownOptions } from './commands/migrate-down.ts'
import type { GrantOptions } from './commands/migrate-grants.ts'
import type { HistoryOptions } from './commands/migrate-history.ts'
import type { UpOptions } from './commands/migrate-up.ts'
import { parseCount } from './parse-arguments.ts'

export function migrateCommand(program: Command): void {
  const migrate = program.command('migrate').description('make, change and inspect the tables')
  migrate
    .command('up')
    .description('apply missing migrations in one transaction; makes the database file if there is none')
    .option('--to <number>', 'the last migration to apply', parseCount)
    .option('--dry-run', 'print what would be applied')
    .action(async (_options: unknown, command: Command) => {
      const { applyMigrations } = await import('./commands/migrate-up.ts')
      await applyMigrations(command.optsWithGlobals<UpOptions>())
    })
  migrate
    .command('down')
    .description('undo the newest migrations in one transaction; what their tables hold is lost')
    .option('--count <number>', 'how many to undo', parseCount, 1)
    .option('--dry-run', 'print what would be undone')
    .action(async (_options: unknown, command: Command) => {
      const { undoMigrations } = await import('./commands/migrate-down.ts')
      await undoMigrations(command.optsWithGlobals<DownOptions>())
    })
  migrate
    .command('current')
    .description('print the newest applied migration; exits with 1 when there is none')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { printCurrent } = await import('./commands/migrate-current.ts')
      await printCurrent(command.optsWithGlobals<CurrentOptions>())
    })
  migrate
    .command('history')
    .description('list every migration and when it was applied')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { printHistory } = await import('./commands/migrate-history.ts')
      await printHistory(command.optsWithGlobals<HistoryOptions>())
    })
  migrate
    .command('grants')
    .description('print SQL that gives a PostgreSQL role what a gateway needs and nothing else')
    .requiredOption('--role <name>', 'the role that gateways log in as')
    .action(async (_options: unknown, command: Command) => {
      const { printGrants } = await import('./commands/migrate-grants.ts')
      await printGrants(command.optsWithGlobals<GrantOptions>())
    })
  migrate
    .command('new <name>')
    .description('write the next numbered migration file; in a clone of Stele only')
    .action(async (name: string) => {
      const { writeMigration } = await import('./commands/migrate-new.ts')
      await writeMigration(name)
    })
}
