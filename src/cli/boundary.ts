import { CommanderError } from 'commander'
import { SteleError } from '../errors.ts'
import { framesOf, quietReasonOf } from '../quiet-error.ts'
import { Failure, Verdict } from './failure.ts'
import { OutputError, say } from './output.ts'
import { printableText } from './printable.ts'
import { createProgram } from './program.ts'
import { warnOfShownSecrets } from './shown-secrets.ts'

/** The exit codes of every command. */
const exitCodes = { success: 0, failure: 1, usage: 2 } as const

/**
 * Runs the command line and returns its exit code. The one place where errors become words: an expected one is told
 * in one line (a bad configuration in one line a problem), an unexpected one too, its stack only on demand.
 */
export async function run(args: readonly string[]): Promise<number> {
  warnOfShownSecrets(args)
  try {
    await createProgram().parseAsync(args, { from: 'user' })
    return exitCodes.success
  } catch (error) {
    return report(error)
  }
}

/** Ends the process on an error that nobody was there to catch. */
export async function reportCrash(error: unknown): Promise<never> {
  process.exit(await report(error))
}

async function report(error: unknown): Promise<number> {
  // The command-line parser has spoken already; its own codes are 0 for help that was asked for and 1 for the rest.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage
  if (error instanceof Verdict) return error.exitCode
  if (error instanceof OutputError && error.isReaderGone) return exitCodes.success
  const isExpected = error instanceof SteleError || error instanceof Failure || error instanceof OutputError
  const showStack = await isDebugging()
  if (isExpected) say(`stele: ${printableText(error.message)}`)
  else
    say(
      `stele: unexpected error: ${printableText(quietReasonOf(error))}${showStack ? '' : ' (run with LOG_LEVEL=debug for the stack)'}`,
    )
  if (showStack) say(printableText(stackOf(error)))
  if (error instanceof Failure && error.exitCode !== undefined) return error.exitCode
  return isWrongUsage(error) ? exitCodes.usage : exitCodes.failure
}

function isWrongUsage(error: unknown): boolean {
  return error instanceof SteleError && (error.code === 'usage' || error.code === 'invalid_value')
}

async function isDebugging(): Promise<boolean> {
  try {
    const { loadConfig } = await import('../config.ts')
    return ['debug', 'trace'].includes(loadConfig().logLevel)
  } catch {
    // The configuration itself may be what is wrong.
    return false
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return quietReasonOf(error)
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`
  return (
    [`${error.name}: ${quietReasonOf(error)}`, ...framesOf(error).map(frame => `    ${frame}`)].join('\n') +
    cause
  )
}
