import type { Outcome } from '../../src/model/call.ts'
import { settlementOf as original } from '../../src/recorder/settlement.ts'

export * from '../../src/recorder/settlement.ts'

export const settlementOf: typeof original = (outcome, ...rest) =>
  original({ ...outcome, body: changed(outcome.body) }, ...rest)

function changed(body: Outcome['body']): Outcome['body'] {
  if (typeof body === 'string') return body.replace('answer', 'Answer')
  const at = body === undefined ? -1 : Buffer.from(body).indexOf('answer')
  if (body === undefined || at < 0) return body
  const copy = Buffer.from(body)
  copy[at] = 'A'.charCodeAt(0)
  return copy
}
