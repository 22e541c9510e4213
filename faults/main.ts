/**
 * Runs the gateway under load while it, its database, its provider and its clients are killed, frozen, cut off and
 * confused, and checks after every round that nothing is lost, doubled or changed (docs/faults.md).
 *
 *   npm run faults -- [--database sqlite|postgres] [--rounds 6] [--minutes M] [--seed S] [--round N] [--questions 300]
 *                     [--trace FILE] [--speed 10] [--expect-no-errors] [--break NAME]
 *
 * Progress and a table go to stderr, one JSON line to stdout. The exit code is 1 when anything was violated.
 */
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { breaks, isBreak } from './breaks.ts'
import { roundLine, summary, summaryTable, violationReport } from './report.ts'
import { type DatabaseName, planOutage, planRound, type RoundPlan } from './schedule.ts'
import { loadShape } from './shape.ts'
import { runSuite } from './suite.ts'

const trace = fileURLToPath(
  new URL('../../shared/data/azure-llm-conversation-trace-2023.csv', import.meta.url),
)

class Interrupted extends Error {}

const { values: flags } = parseArgs({
  options: {
    database: { type: 'string', default: 'sqlite' },
    rounds: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    round: { type: 'string' },
    questions: { type: 'string', default: '300' },
    trace: { type: 'string', default: process.env['FAULTS_TRACE'] ?? trace },
    speed: { type: 'string', default: '10' },
    'expect-no-errors': { type: 'boolean', default: false },
    break: { type: 'string' },
  },
})

const database = oneOf<DatabaseName>('database', flags.database, ['sqlite', 'postgres'])
const seed = positive('seed', flags.seed, 0)
const questions = positive('questions', flags.questions)
const minutes = flags.minutes === undefined ? Number.POSITIVE_INFINITY : positive('minutes', flags.minutes)
const only = flags.round === undefined ? undefined : positive('round', flags.round)
const defaultRounds = flags.minutes === undefined ? 6 : Number.POSITIVE_INFINITY
const rounds = flags.rounds === undefined ? defaultRounds : positive('rounds', flags.rounds)
const expectsNoErrors = flags['expect-no-errors']
if (expectsNoErrors && database !== 'postgres')
  fail('--expect-no-errors needs --database postgres: only a server can be away')
if (flags.break !== undefined && !isBreak(flags.break))
  fail(`--break takes one of ${Object.keys(breaks).join(', ')}`)

const shape = loadShape(flags.trace, positive('speed', flags.speed))
say(`seed ${seed}, ${database}; ${shape.name}`)
if (flags.break !== undefined) say(`broken on purpose: ${breaks[flags.break].breaks}`)

const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => stopping.abort(new Interrupted(`stopped by ${signal}`)))
// Whatever goes wrong, what was started is ended first.
process.once('uncaughtException', error => stopping.abort(error))

try {
  const result = await runSuite({
    database,
    seed,
    shape,
    expectsNoErrors,
    break: flags.break,
    plans: plans(),
    signal: stopping.signal,
    onRound(round) {
      say(roundLine(round))
      for (const line of violationReport(round.violations, replayOf(round.plan))) say(line)
    },
  })
  const { rounds: done, violations } = result
  for (const line of violationReport(violations, replayOf(done.at(-1)?.plan))) say(line)
  const summed = summary(result)
  for (const line of summaryTable(summed)) say(line)
  const total = Object.values(summed.violations).reduce((sum, count) => sum + count, 0)
  process.stdout.write(
    `${JSON.stringify({ suite: 'faults', database, seed, break: flags.break, ...summed, holds: total === 0 })}\n`,
  )
  process.exitCode = total === 0 ? 0 : 1
} catch (error) {
  const isInterrupted = error instanceof Interrupted
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  say(isInterrupted ? error.message : `the suite itself failed (seed ${seed}): ${text}`)
  // What was being waited for when the run was called off must not hold the process.
  process.exit(isInterrupted ? 130 : 2)
}

function* plans(): Generator<RoundPlan> {
  const deadline = Date.now() + minutes * 60_000
  const plan = expectsNoErrors ? planOutage : planRound
  const first = only ?? 1
  const last = only ?? rounds
  for (let round = first; round <= last && Date.now() < deadline; round++)
    yield plan(round, { seed, database, questions })
}

function replayOf(plan: RoundPlan | undefined): string {
  const more = [
    ...(questions === 300 ? [] : [`--questions ${questions}`]),
    ...(flags.speed === '10' ? [] : [`--speed ${flags.speed}`]),
    ...(expectsNoErrors ? ['--expect-no-errors'] : []),
    ...(flags.break === undefined ? [] : [`--break ${flags.break}`]),
  ]
  return [
    'npm run faults --',
    `--database ${database}`,
    `--seed ${seed}`,
    `--round ${plan?.round ?? 1}`,
    ...more,
  ].join(' ')
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  return allowed.find(one => one === value) ?? fail(`--${name} takes one of ${allowed.join(', ')}`)
}

function positive(name: string, text: string, least = Number.MIN_VALUE): number {
  const value = Number(text)
  return Number.isFinite(value) && value >= least ? value : fail(`--${name} takes a positive number`)
}

function fail(reason: string): never {
  say(reason)
  process.exit(2)
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
