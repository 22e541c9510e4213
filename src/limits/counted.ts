import type { Row } from '../db/tables.ts'
import { type Metric, metrics } from './caps.ts'
import type { Period, Window } from './windows.ts'

/** Whom a limit is for: all together, each user who has none of their own, one user, or one API key. */
export type LimitScope = 'global' | 'each_user' | 'user' | 'key'

export type CounterScope = Exclude<LimitScope, 'each_user'>

/** What is counted together. A model '' is any. */
export interface Counted {
  readonly scope: CounterScope
  /** '' of everybody, else the user's or the key's id. */
  readonly subject: string
  readonly model: string
  readonly period: Period
}

/** A counter: what is counted together in one window. */
export interface Counter extends Counted {
  readonly window: Window
}

export const counterKey = [
  'scope',
  'subject',
  'model',
  'period',
  'window_start',
] as const satisfies (keyof Row<'limit_counters'>)[]

/** Names a counter among others. */
export function nameOf({ scope, subject, model, period, window }: Counter): string {
  return `${scope} ${period} ${window.start} ${model.length} ${model} ${subject}`
}

/** Names what a limit is for, as `nameOf` does a counter. */
export function limitName(scope: LimitScope, subject: string, model: string, period: Period): string {
  return `${scope} ${period} ${model.length} ${model} ${subject}`
}

export function nameOfRow(row: Pick<Row<'limit_counters'>, (typeof counterKey)[number]>): string {
  const { scope, subject, model, period, window_start } = row
  return `${scope} ${period} ${window_start} ${model.length} ${model} ${subject}`
}

export function counterRow(
  { scope, subject, model, period, window }: Counter,
  amounts: Readonly<Record<Metric, number>>,
): Row<'limit_counters'> {
  const { requests, tokens, nanousd } = amounts
  return {
    scope,
    subject,
    model,
    period,
    window_start: window.start,
    window_end: window.end,
    requests,
    tokens,
    nanousd,
  }
}

export function isNothing(amounts: Readonly<Record<Metric, number>>): boolean {
  return metrics.every(metric => amounts[metric] === 0)
}
