import { Command } from 'commander'
import { accessCommands } from './access-commands.ts'
import { cacheCommand } from './cache-commands.ts'
import { chatCommand } from './chat-command.ts'
import { auditCommand } from './commands/audit.ts'
import type { DoctorOptions } from './commands/doctor.ts'
import type { UsageDoctorOptions } from './commands/doctor-usage.ts'
import type { ServeOptions } from './commands/serve.ts'
import type { DrainSpoolsOptions } from './commands/spool-drain.ts'
import type { SpoolStatusOptions } from './commands/spool-status.ts'
import { documentCommands } from './document-commands.ts'
import { eraseCommand } from './erase-command.ts'
import { grantCommands } from './grant-commands.ts'
import { limitCommands } from './limit-commands.ts'
import { migrateCommand } from './migrate-commands.ts'
import { movingCommands } from './moving-commands.ts'
import { packageVersion } from './package-root.ts'
import { parseHttpUrl, parsePort, parseWorkers } from './parse-arguments.ts'
import { recordCommands } from './record-commands.ts'
import { retentionCommand } from './retention-commands.ts'
import { searchCommand } from './search-command.ts'
import { usageCommand } from './usage-command.ts'

const closing = `
Exit codes: 0 success · 1 failure · 2 wrong usage
Settings: command line > environment (and .env) > stele.config.json > default`

/** The command tree. What a command does is loaded when it runs. */
export function createProgram(): Command {
  const program = new Command('stele')
    .description('System of record for LLM applications.')
    .version(packageVersion())
    .option('--database <url>', 'database to use, instead of DATABASE_URL; docs/databases.md lists the forms')
    .option(
      '--unrecorded',
      'read, export or back up even where that cannot be put on record, as on a full disk',
    )
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: (text, writeError) => writeError(text.replace(/^error: /, 'stele: ')) })
    .showHelpAfterError('(--help shows how)')
    .addHelpText('afterAll', closing)
    .exitOverride()
  serveCommand(program)
  chatCommand(program)
  migrateCommand(program)
  accessCommands(program)
  grantCommands(program)
  recordCommands(program)
  documentCommands(program)
  searchCommand(program)
  usageCommand(program)
  cacheCommand(program)
  spoolCommand(program)
  movingCommands(program)
  eraseCommand(program)
  retentionCommand(program)
  auditCommand(program)
  limitCommands(program)
  doctorCommand(program)
  return program
}

function serveCommand(program: Command): void {
  program
    .command('serve')
    .description(
      'serve the gateway that records every call; makes the database, its tables and a first key if need be',
    )
    .option('--host <host>', 'address to listen on, instead of HOST (127.0.0.1)')
    .option('--port <port>', 'port to listen on, instead of PORT (4100); 0 takes any free one', parsePort)
    .option(
      '--upstream <url>',
      'OpenAI-compatible API to send calls to, instead of OPENAI_BASE_URL',
      parseHttpUrl,
    )
    .option('--tls-cert <file>', 'certificate to speak HTTPS with, in PEM, instead of STELE_TLS_CERT')
    .option('--tls-key <file>', 'its private key, instead of STELE_TLS_KEY')
    .option(
      '--tls-passphrase-file <file>',
      'what the key is encrypted with, instead of STELE_TLS_PASSPHRASE_FILE',
    )
    .option('--workers <number>', 'processes that serve, instead of STELE_WORKERS (1)', parseWorkers)
    .action(async (_options: unknown, command: Command) => {
      const { serveGateway } = await import('./commands/serve.ts')
      await serveGateway(command.optsWithGlobals<ServeOptions>())
    })
}

function spoolCommand(program: Command): void {
  const spool = program
    .command('spool')
    .description('what was recorded while PostgreSQL was away, and is not in it yet')
  spool
    .command('status')
    .description(
      'list the spools of this machine: how much waits, since when, and what the database would not take',
    )
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { spoolStatus } = await import('./commands/spool-status.ts')
      await spoolStatus(command.optsWithGlobals<SpoolStatusOptions>())
    })
  spool
    .command('drain')
    .description(
      'write what waits to the database now; spools of running gateways are left to them, and serving drains too',
    )
    .option('--rejected', 'try what the database would not take once more')
    .action(async (_options: unknown, command: Command) => {
      const { drainSpools } = await import('./commands/spool-drain.ts')
      await drainSpools(command.optsWithGlobals<DrainSpoolsOptions>())
    })
}

function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .description(
      'check database, settings, schema and master key; exits with 1 when something is not as it should be',
    )
    .option('--repair-limits', 'count anew what limits have counted wrong')
    .option('--usage', 'count every call again and compare with the sums that reports and limits read')
    .option('--repair', 'with --usage: make the sums right')
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<DoctorOptions & UsageDoctorOptions>()
      if (options.usage === true || options.repair === true) {
        const { usageDoctor } = await import('./commands/doctor-usage.ts')
        return usageDoctor(options)
      }
      const { doctor } = await import('./commands/doctor.ts')
      await doctor(options)
    })
}
