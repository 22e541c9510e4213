import { SteleError } from '../errors.ts'
import { type Period, periods } from './windows.ts'

/** What is counted. Tokens are those of input and output together; money is in nano-US-dollars. */
export const metrics = ['requests', 'tokens', 'nanousd'] as const

export type Metric = (typeof metrics)[number]

/** So much of each. */
export type Amounts = Readonly<Record<Metric, number>>

/** What is allowed in one period. What is left out is not capped; `unlimited` lifts a cap that would else hold. */
export type PeriodCaps = Readonly<Record<Metric, number | null>>

/** In place of a cap: none, whatever else is set for everybody. */
export const unlimited = -1

/** The caps of whatever a limit is for, by the names that settings, routes and the library use. */
export const capNames = {
  requestsPerMinute: ['minute', 'requests'],
  requestsPerDay: ['day', 'requests'],
  requestsPerMonth: ['month', 'requests'],
  tokensPerMinute: ['minute', 'tokens'],
  tokensPerDay: ['day', 'tokens'],
  tokensPerMonth: ['month', 'tokens'],
  nanousdPerDay: ['day', 'nanousd'],
  nanousdPerMonth: ['month', 'nanousd'],
} as const satisfies Record<string, readonly [Period, Metric]>

export type CapName = keyof typeof capNames

/** Caps by their names. What is left out stays as it is, or is not capped. */
export type Caps = { readonly [N in CapName]?: number | undefined }

/** The same where a cap may also be taken away, by `null`, and lifted, by `unlimited`. */
export type CapChange = { readonly [N in CapName]?: number | 'unlimited' | null | undefined }

export const noCaps: PeriodCaps = { requests: null, tokens: null, nanousd: null }

export const nothing: Amounts = { requests: 0, tokens: 0, nanousd: 0 }

/** @throws SteleError invalid_value */
export function checkCaps(change: CapChange): void {
  for (const [name, value] of Object.entries(change)) {
    if (!Object.hasOwn(capNames, name))
      throw new SteleError('invalid_value', { name, reason: 'there is no such limit' }, { param: name })
    if (value == null || value === 'unlimited') continue
    if (!Number.isSafeInteger(value) || value < 0)
      throw new SteleError(
        'invalid_value',
        { name, reason: 'it must be a whole number, 0 or more' },
        { param: name },
      )
  }
}

/** The caps by period; only periods in which something is said. */
export function byPeriod(change: CapChange): Map<Period, Partial<Record<Metric, number | null>>> {
  const found = new Map<Period, Partial<Record<Metric, number | null>>>()
  for (const period of periods) {
    const said: Partial<Record<Metric, number | null>> = {}
    for (const name of Object.keys(capNames) as CapName[]) {
      const [of, metric] = capNames[name]
      const value = change[name]
      if (of === period && value !== undefined) said[metric] = value === 'unlimited' ? unlimited : value
    }
    if (Object.keys(said).length > 0) found.set(period, said)
  }
  return found
}

/** What is said first counts; what it leaves open, what is said next. */
export function overriding(...all: readonly (PeriodCaps | undefined)[]): PeriodCaps {
  const first = (metric: Metric): number | null => {
    for (const caps of all) {
      const cap = caps?.[metric] ?? null
      if (cap !== null) return cap
    }
    return null
  }
  const effective = (metric: Metric): number | null => {
    const cap = first(metric)
    return cap === unlimited ? null : cap
  }
  return { requests: effective('requests'), tokens: effective('tokens'), nanousd: effective('nanousd') }
}

export function sumOf(a: Amounts, b: Amounts): Amounts {
  return { requests: a.requests + b.requests, tokens: a.tokens + b.tokens, nanousd: a.nanousd + b.nanousd }
}
