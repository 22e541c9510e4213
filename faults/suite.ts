import { carryOut, Turns } from './actions.ts'
import { type BreakName, breakArguments } from './breaks.ts'
import { drained } from './drained.ts'
import { Gateway } from './gateway.ts'
import { startLoad } from './load.ts'
import { Oracle } from './oracle.ts'
import { checkSpools } from './oracle-spools.ts'
import { type StandIn, startStandIn } from './provider.ts'
import type { DatabaseName, RoundPlan } from './schedule.ts'
import type { Shape } from './shape.ts'
import { apiKey, makeTarget, type Target } from './target.ts'
import { type Counts, countBy, type Violation } from './verdict.ts'

export interface SuiteOptions {
  readonly database: DatabaseName
  readonly plans: Iterable<RoundPlan>
  readonly seed: number
  readonly shape: Shape
  /** Whether an error that a client saw is a violation. */
  readonly expectsNoErrors?: boolean
  /** The program to run, and what its environment holds besides; the sources when left out. */
  readonly program?: { readonly file: string; readonly env: Readonly<Record<string, string>> } | undefined
  /** The guarantee to break, to see whether it is noticed. */
  readonly break?: BreakName | undefined
  /** Told of every round when it is over. */
  readonly onRound?: (result: RoundResult) => void
  /** Ends the run early. */
  readonly signal?: AbortSignal
}

export interface RoundResult {
  readonly plan: RoundPlan
  readonly seconds: number
  readonly asked: number
  readonly acknowledged: number
  /** Questions that were sent twice with one key. */
  readonly repeated: number
  readonly dispatched: number
  readonly recorded: number
  /** What clients met instead of a whole reply. */
  readonly troubles: Counts
  /** How the provider answered. */
  readonly answers: Counts
  readonly violations: readonly Violation[]
}

export interface SuiteResult {
  readonly rounds: readonly RoundResult[]
  /** Found when everything was read once more at the end. */
  readonly violations: readonly Violation[]
}

interface Bench {
  readonly options: SuiteOptions
  readonly target: Target
  readonly standIn: StandIn
  readonly gateway: Gateway
  readonly oracle: Oracle
}

/** Runs round after round on one database and checks each. Everything it starts has ended when it resolves or rejects. */
export async function runSuite(options: SuiteOptions): Promise<SuiteResult> {
  // Waiting ends at once when the run is called off; what it waited for is ended with everything else.
  const { promise: calledOff, reject } = Promise.withResolvers<never>()
  calledOff.catch(() => undefined)
  options.signal?.addEventListener('abort', () => reject(options.signal?.reason), { once: true })
  await using ending = new AsyncDisposableStack()
  const standIn = await startStandIn(options.seed)
  ending.defer(() => standIn.close())
  const target = await makeTarget(options.database, standIn.baseUrl)
  ending.defer(() => target.remove())
  const gateway = new Gateway({
    cwd: target.folder,
    env: { ...options.program?.env, ...target.env },
    main: options.program?.file,
    nodeArguments: options.break === undefined ? [] : breakArguments(options.break),
  })
  ending.defer(() => gateway.close())
  const bench: Bench = { options, target, standIn, gateway, oracle: new Oracle() }
  const rounds: RoundResult[] = []
  for (const plan of options.plans) {
    const result = await Promise.race([runRound(bench, plan), calledOff])
    rounds.push(result)
    options.onRound?.(result)
  }
  await using stele = await opened(target)
  return { rounds, violations: await bench.oracle.checkAll(stele.stele) }
}

async function runRound(bench: Bench, plan: RoundPlan): Promise<RoundResult> {
  const { options, target, standIn, gateway, oracle } = bench
  const started = performance.now()
  const knownBefore = oracle.callCount
  const address = (): string | undefined => gateway.address
  await gateway.start()
  standIn.setWeather(plan.weather)
  const { seed, round, leaveRate, keyRate, questions } = plan
  const load = startLoad({ seed, round, leaveRate, keyRate, address, apiKey, shape: options.shape })
  try {
    const victims = { gateway, postgres: target.postgres }
    const turns = { gateway: new Turns(), database: new Turns() }
    await Promise.all([
      load.started(questions),
      ...plan.steps.map(async step => {
        await load.started(step.after)
        await carryOut(victims, turns, step)
      }),
    ])
    if (plan.ending === 'in peace') await load.stop()
    // Else with calls under way: what it does not settle any more is found by the next that starts.
    await (plan.ending === 'killed' ? gateway.kill() : gateway.stop())
  } finally {
    await load.stop()
  }
  await gateway.start()
  await drained(address)
  await gateway.stop()

  const served = standIn.takeJournal()
  const { asked } = load
  await using opening = await opened(target)
  const found = [
    ...(await oracle.checkRound(opening.stele, { asked, served })),
    ...(await checkSpools(target.spoolFolder)),
  ]
  const troubled = asked.filter(one => one.reply === undefined && !one.left)
  const crashes = gateway.takeCrashes()
  return {
    plan,
    seconds: (performance.now() - started) / 1000,
    asked: asked.length,
    acknowledged: asked.filter(one => one.reply !== undefined).length,
    repeated: asked.filter(one => one.other !== undefined).length,
    dispatched: served.length,
    recorded: oracle.callCount - knownBefore,
    troubles: countBy(
      asked.filter(one => one.trouble !== undefined),
      one => one.trouble ?? '',
    ),
    answers: countBy(served, one => one.kind),
    violations: [
      ...found,
      ...crashes.map((detail): Violation => ({ check: 'crash', about: 'the gateway', detail })),
      ...(options.expectsNoErrors === true
        ? troubled.map(({ mark, callId, trouble }): Violation => {
            return { check: 'error', about: callId ?? mark, detail: `${mark}: ${trouble}` }
          })
        : []),
    ],
  }
}

async function opened(target: Target) {
  const stele = await target.open()
  return { stele, [Symbol.asyncDispose]: () => stele.close() }
}
