import type { Command } from 'commander'
import { SteleError } from '../errors.ts'
import type { EraseOptions } from './commands/erase.ts'

/** Erasing users, and looking whether anything is left. */
export function eraseCommand(program: Command): void {
  program
    .command('erase [user]')
    .description(
      'erase a user for good: destroy the keys, remove what was said and who it was; what calls took and cost stays',
    )
    .option('--yes', 'do not ask before')
    .option('--reason <text>', 'why; kept with the events of the erasure')
    .option('--keys <file...>', 'also strike the user from these files that lie beside backups')
    .option('--verify', 'erase nothing, only look whether anything is left of a user who was erased')
    .option('--unfinished', 'finish the erasures that broke off, or that a restored backup needs')
    .option('--json', 'print what was done as JSON')
    .action(async (user: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<EraseOptions>()
      if ((user === undefined) !== (options.unfinished === true))
        throw new SteleError('usage', { reason: 'Name a user, or say --unfinished.' })
      const { eraseUser, finishErasures, verifyErasure } = await import('./commands/erase.ts')
      if (user === undefined) await finishErasures(options)
      else if (options.verify === true) await verifyErasure(user, options)
      else await eraseUser(user, options)
    })
}
