import { type UpstreamFault, upstreamFaults, type Weather } from './provider.ts'
import { type Random, randomOf } from './random.ts'

export type DatabaseName = 'sqlite' | 'postgres'

/** What is done to the gateway and to its database. */
const faultsOf = {
  sqlite: ['gateway killed', 'gateway restarted', 'gateway frozen', 'disk full'],
  postgres: [
    'gateway killed',
    'gateway restarted',
    'gateway frozen',
    'database killed',
    'database restarted',
    'database frozen',
    'sessions ended',
    'connections taken',
  ],
} as const

export type Fault = (typeof faultsOf)[DatabaseName][number]

export interface Step {
  /** Once so many questions have been asked. */
  readonly after: number
  readonly fault: Fault
  /** How long it stays so, in milliseconds. */
  readonly holdMs: number
  /** Bytes that files may grow to, for a full disk. */
  readonly fileLimit?: number
}

/** What happens in a round. */
export interface RoundPlan {
  readonly seed: number
  readonly round: number
  /** Questions to ask. */
  readonly questions: number
  readonly steps: readonly Step[]
  readonly weather: Weather
  /** Share of the clients that go away before their reply is whole. */
  readonly leaveRate: number
  /** Share of the questions that are sent with an idempotency key. */
  readonly keyRate: number
  /** How the gateway's part in it ends: under load, or once no client waits any more. */
  readonly ending: 'stopped' | 'killed' | 'in peace'
}

export interface PlanOptions {
  readonly seed: number
  readonly database: DatabaseName
  readonly questions: number
}

/** The plan of a round; the same for the same seed, round and options. */
export function planRound(round: number, { seed, database, questions }: PlanOptions): RoundPlan {
  const random = randomOf(seed, round, database, 'plan')
  const [first, ...others] = faultsOf[database]
  const steps = Array.from({ length: random.integer(2, 4) }, (): Step => {
    const fault = random.pick<Fault>([first, ...others])
    return {
      after: random.integer(Math.ceil(questions / 20), Math.floor(questions * 0.85)),
      fault,
      holdMs: random.integer(50, 2_500),
      ...(fault === 'disk full' ? fullDisk(random) : {}),
    }
  })
  return {
    seed,
    round,
    questions,
    steps: steps.sort((a, b) => a.after - b.after),
    weather: { rate: random.chance(0.25) ? 0 : random.fraction() * 0.25, faults: someFaults(random) },
    leaveRate: random.chance(0.25) ? 0 : random.fraction() * 0.15,
    ending: random.pick(['stopped', 'killed']),
    keyRate: random.chance(0.25) ? 0 : random.fraction() * 0.4,
  }
}

/** Room for some dozens of calls, and time enough to use it up. */
function fullDisk(random: Random): Pick<Step, 'holdMs' | 'fileLimit'> {
  return { holdMs: random.integer(2_000, 7_000), fileLimit: random.integer(64, 384) * 1024 }
}

const outageMs = 10_000

/** A round in which the database is away for some ten seconds and nothing else is wrong: no client may notice. */
export function planOutage(round: number, { seed, questions }: PlanOptions): RoundPlan {
  const random = randomOf(seed, round, 'outage')
  const fault = random.pick<Fault>(['database killed', 'database restarted', 'database frozen'])
  return {
    seed,
    round,
    questions,
    steps: [{ after: random.integer(10, Math.max(10, Math.floor(questions / 4))), fault, holdMs: outageMs }],
    weather: { rate: 0, faults: [] },
    leaveRate: 0,
    // Whether a key is new, only the database can say (docs/durability.md).
    keyRate: 0,
    ending: 'in peace',
  }
}

function someFaults(random: Random): UpstreamFault[] {
  const some = upstreamFaults.filter(() => random.chance(0.5))
  return some.length === 0 ? [random.pick(upstreamFaults)] : some
}
