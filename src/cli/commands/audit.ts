import type { Command } from 'commander'

/** What happened, and proof of it. Each group of subcommands registers itself. */
export function auditCommand(program: Command): void {
  program.command('audit').description('what happened, who did it, and proof that nothing of it was changed')
}
