import { z } from 'zod'
import { SteleError } from '../errors.ts'
import { perPiece, perToken } from './money.ts'
import type { Rates } from './rates.ts'

/** US dollars, exact to nine decimals. */
const dollars = z
  .number()
  .min(0)
  .max(1_000_000)
  .refine(
    value => Math.abs(Number(value.toFixed(9)) - value) <= Number.EPSILON * value,
    'nine decimals at most',
  )
  .optional()

const day = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}$/, 'a day as YYYY-MM-DD')
  .refine(text => {
    const time = Date.parse(text)
    return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
  }, 'there is no such day')
  .optional()

const prices = [
  'input',
  'cachedInput',
  'cacheWrite',
  'output',
  'reasoning',
  'audioInput',
  'audioOutput',
] as const

/** A user's own price of models. Token prices are US dollars per million tokens; `perCall` and the like are US dollars a piece. */
export const priceOverride = z
  .strictObject({
    /** The model as it is asked for, or as the provider says that it answered; `*` stands for anything. */
    model: z.string().min(1).max(256),
    /** As Stele's configuration names it; any when left out. */
    provider: z.string().min(1).max(256).optional(),
    /** A service tier as the provider names it in its reply; the usual one when left out. */
    serviceTier: z.string().min(1).max(32).optional(),
    /** The first day (UTC) on which it holds, and the first on which it no longer does. */
    from: day,
    until: day,
    input: dollars,
    output: dollars,
    cachedInput: dollars,
    cacheWrite: dollars,
    reasoning: dollars,
    audioInput: dollars,
    audioOutput: dollars,
    perCall: dollars,
    perWebSearch: dollars,
    perFileSearch: dollars,
    perOtherTool: dollars,
  })
  .refine(
    override => override.perCall !== undefined || prices.some(name => override[name] !== undefined),
    'it has no price for tokens or for a call',
  )
  .refine(
    ({ from, until }) => from === undefined || until === undefined || from < until,
    'until must be a later day than from',
  )

export type PriceOverride = z.infer<typeof priceOverride>

/** @throws SteleError config_invalid, naming each problem */
export function checkOverrides(given: unknown): PriceOverride[] {
  const checked = z.array(priceOverride).safeParse(given)
  if (checked.success) return checked.data
  const problems = checked.error.issues.map(
    ({ path, message }) => `  ${['prices', ...path].join('.')}: ${message}`,
  )
  throw new SteleError('config_invalid', { problems: problems.join('\n') })
}

/** An override, ready to be looked up. */
export interface Override {
  /** Its place in the list, from 0. */
  readonly index: number
  readonly given: PriceOverride
  readonly rates: Rates
  readonly from: number
  readonly until: number
  matches(name: string): boolean
}

export function preparedOverride(given: PriceOverride, index: number): Override {
  const { input, cachedInput, cacheWrite, output, reasoning, audioInput, audioOutput } = given
  const piece = (value: number | undefined): bigint | undefined =>
    value === undefined ? undefined : perPiece(value)
  const token = (value: number | undefined): bigint | undefined =>
    value === undefined ? undefined : perToken(value)
  return {
    index,
    given,
    rates: {
      input: token(input),
      cacheRead: token(cachedInput),
      cacheCreation: token(cacheWrite),
      output: token(output),
      reasoning: token(reasoning),
      audioInput: token(audioInput),
      audioOutput: token(audioOutput),
      webSearch: piece(given.perWebSearch),
      fileSearch: piece(given.perFileSearch),
      otherTool: piece(given.perOtherTool),
      call: piece(given.perCall),
    },
    from: given.from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(given.from),
    until: given.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(given.until),
    matches: pattern(given.model),
  }
}

/** Whether a name fits a pattern, letters large or small, in time that grows with both alone. */
function pattern(text: string): (name: string) => boolean {
  const [first = '', ...rest] = text.toLowerCase().split('*')
  const last = rest.pop()
  return given => {
    const name = given.toLowerCase()
    if (last === undefined) return name === first
    if (!name.startsWith(first)) return false
    let at = first.length
    for (const part of rest) {
      const found = name.indexOf(part, at)
      if (found === -1) return false
      at = found + part.length
    }
    return name.length - last.length >= at && name.endsWith(last)
  }
}
