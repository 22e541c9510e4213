import { type Command, InvalidArgumentError } from 'commander'
import { nanousdOf } from '../limits/money.ts'
import type { ListLimitsOptions } from './commands/limits-list.ts'
import type { RemoveLimitsOptions } from './commands/limits-remove.ts'
import type { SetLimitsOptions } from './commands/limits-set.ts'
import { parseLimit } from './parse-arguments.ts'

/** What users, keys and models may take. */
export function limitCommands(program: Command): void {
  const limits = program
    .command('limits')
    .description(
      'what users, keys and models may take; DAILY_TOKEN_CAP and DAILY_COST_CAP say so for each user',
    )
  ofTarget(limits.command('set'))
    .description(
      'set limits; others of the same stay. none takes one away, unlimited lifts what is set for each user',
    )
    .option('--requests-per-minute <number>', 'requests that may be made in a minute', parseCap)
    .option('--requests-per-day <number>', 'in a day', parseCap)
    .option('--requests-per-month <number>', 'in a month', parseCap)
    .option('--tokens-per-minute <number>', 'tokens of input and output', parseCap)
    .option('--tokens-per-day <number>', 'in a day', parseCap)
    .option('--tokens-per-month <number>', 'in a month', parseCap)
    .option('--cost-per-day <dollars>', 'US dollars that calls may cost in a day', parseCost)
    .option('--cost-per-month <dollars>', 'in a month', parseCost)
    .option('--json', 'print the limits as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { setLimits } = await import('./commands/limits-set.ts')
      await setLimits(command.optsWithGlobals<SetLimitsOptions>())
    })
  ofTarget(limits.command('list'))
    .description('list limits, and how much of them is used now')
    .option('--limit <number>', 'at most so many', parseLimit, 100)
    .option('--json', 'print JSON')
    .action(async (_options: unknown, command: Command) => {
      const { listLimits } = await import('./commands/limits-list.ts')
      await listLimits(command.optsWithGlobals<ListLimitsOptions>())
    })
  ofTarget(limits.command('remove'))
    .description('take all limits of a user, key or model away')
    .action(async (_options: unknown, command: Command) => {
      const { removeLimits } = await import('./commands/limits-remove.ts')
      await removeLimits(command.optsWithGlobals<RemoveLimitsOptions>())
    })
}

function ofTarget(command: Command): Command {
  return command
    .option('--user <id>', 'of one user')
    .option('--each-user', 'of each user that has none of their own')
    .option('--key <id>', 'of one API key')
    .option('--model <name>', 'only of calls to this model, as its provider calls it')
}

function parseCap(text: string): number | 'unlimited' | null {
  const word = parseWord(text)
  if (word !== undefined) return word
  if (!/^\d{1,15}$/.test(text))
    throw new InvalidArgumentError('It must be a whole number, none or unlimited.')
  return Number(text)
}

function parseCost(text: string): number | 'unlimited' | null {
  const word = parseWord(text)
  const amount = word === undefined ? nanousdOf(text) : word
  if (amount === undefined)
    throw new InvalidArgumentError('It must be US dollars, as in 2.50, or none or unlimited.')
  return amount
}

function parseWord(text: string): 'unlimited' | null | undefined {
  if (text === 'none') return null
  return text === 'unlimited' ? text : undefined
}
