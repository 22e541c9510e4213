import { z } from 'zod'
import { type CapName, capNames } from './limits/caps.ts'
import { nanousdOf } from './limits/money.ts'
import { usualOutput } from './limits/reserve.ts'
import { checkTimeZone } from './limits/windows.ts'

const cap = z.int().min(0).optional()
const caps = Object.fromEntries(Object.keys(capNames).map(name => [name, cap])) as Record<CapName, typeof cap>

/** How limits are held, and what each user may take of whom nothing else is set. */
export const limits = z.strictObject({
  /** Money is in nano-US-dollars. */
  eachUser: z.strictObject(caps).default({}),
  /** Tokens of output for which a request counts that does not say how long its reply may be. */
  defaultOutput: z.int().positive().max(10_000_000).default(usualOutput),
  /** What becomes of such a request where tokens or money are limited. */
  openEnded: z.enum(['reserve', 'refuse']).default('reserve'),
  /** What becomes of a request whose price is unknown where money is limited. */
  unpriced: z.enum(['refuse', 'allow']).default('refuse'),
  /** What becomes of limited calls while the database is away. */
  whenAway: z.enum(['refuse', 'allow']).default('refuse'),
})

/** US dollars as people write them, in nano-US-dollars. */
export const dollars = z
  .union([z.string(), z.number()])
  .transform(String)
  .refine(text => nanousdOf(text) !== undefined, 'it must be US dollars, as in 5 or 0.25')

export const timeZone = z.string().refine(name => {
  try {
    return checkTimeZone(name) !== ''
  } catch {
    return false
  }
}, 'it must be a time zone, as in Europe/Berlin')
