import { styleText } from 'node:util'
import type { RoundResult, SuiteResult } from './suite.ts'
import { addTo, type Counts, checks, type Violation, violationCounts } from './verdict.ts'

/** Violations of one kind that are told one by one; the rest are counted. */
const told = 10

/** A round in one line. */
export function roundLine({ plan, seconds, ...result }: RoundResult): string {
  const { asked, acknowledged, recorded, violations } = result
  const faults = plan.steps.map(step => `${step.fault} at ${step.after}`).join(', ')
  const weather = plan.weather.rate === 0 ? '' : `, provider ${percent(plan.weather.rate)} wrong`
  const leaving = plan.leaveRate === 0 ? '' : `, ${percent(plan.leaveRate)} of clients leave`
  const outcome = violations.length === 0 ? 'holds' : red(`${violations.length} violations`)
  return `round ${plan.round}: ${asked} asked, ${acknowledged} acknowledged, ${recorded} recorded, ${seconds.toFixed(1)} s: ${outcome} (${faults}${weather}${leaving}, in the end ${plan.ending === 'in peace' ? 'stopped in peace' : plan.ending})`
}

/** What went wrong in a round, and how to see it again. */
export function violationReport(violations: readonly Violation[], replay: string): string[] {
  const lines: string[] = []
  for (const [check, same] of Map.groupBy(violations, violation => violation.check)) {
    lines.push(red(`${checks[check]}: ${same.length}`))
    for (const { about, detail } of same.slice(0, told)) lines.push(`  ${about}: ${detail}`)
    if (same.length > told) lines.push(`  and ${same.length - told} more`)
  }
  return violations.length === 0 ? [] : [...lines, `again: ${replay}`]
}

export interface Totals extends Counts {
  rounds: number
  asked: number
  acknowledged: number
  repeated: number
  dispatched: number
  recorded: number
}

/** Everything a run did, in sums. */
export function summary({ rounds, violations: last }: SuiteResult) {
  const totals: Totals = {
    rounds: rounds.length,
    asked: 0,
    acknowledged: 0,
    repeated: 0,
    dispatched: 0,
    recorded: 0,
  }
  const faults: Counts = {}
  const troubles: Counts = {}
  const answers: Counts = {}
  for (const { asked, acknowledged, repeated, dispatched, recorded, plan, ...round } of rounds) {
    addTo(totals, { asked, acknowledged, repeated, dispatched, recorded })
    for (const { fault } of plan.steps) addTo(faults, { [fault]: 1 })
    addTo(troubles, round.troubles)
    addTo(answers, round.answers)
  }
  const all = [...rounds.flatMap(round => round.violations), ...last]
  return { totals, faults, troubles, answers, violations: violationCounts(all) }
}

/** The summary as lines of a table. */
export function summaryTable({
  totals,
  faults,
  troubles,
  answers,
  violations,
}: ReturnType<typeof summary>): string[] {
  const rows = (title: string, counts: Counts): string[] => [
    title,
    ...Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .map(([name, count]) => `${String(count).padStart(8)}  ${name}`),
  ]
  const named = Object.entries(violations).map(([check, count]) => [
    checks[check as keyof typeof checks],
    count,
  ])
  return [
    ...rows('calls', totals),
    ...rows('faults', faults),
    ...rows('answers of the provider', answers),
    ...rows('what clients met instead of a whole reply', troubles),
    ...rows('violations', Object.fromEntries(named)),
  ]
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** Where the report goes: a terminal, or a file that wants no colours. */
function red(text: string): string {
  return styleText('red', text, { stream: process.stderr })
}
