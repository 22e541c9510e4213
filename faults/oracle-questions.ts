import type { Asked, Served } from './journal.ts'
import type { Recorded } from './recorded.ts'
import { mostAttempts } from './target.ts'
import type { Violation } from './verdict.ts'

/** One question, as its client and the provider saw it. */
export interface Seen {
  readonly mark: string
  readonly asked: Asked | undefined
  /** Every time the provider was asked it, oldest first. */
  readonly served: readonly Served[]
}

/** A recorded call, and what the provider saw of it, if it was ever asked. */
export interface Pair {
  readonly recorded: Recorded
  readonly served: Served | undefined
}

/**
 * One question is one group of calls, and each time the provider was asked is one call of it, in the same order. What is
 * recorded of each must be what its client asked and what the provider answered that time.
 */
export function checkQuestion(
  { mark, asked, served }: Seen,
  recorded: readonly Recorded[],
): { violations: Violation[]; pairs: readonly Pair[] } {
  const { violations, pairs } = likeliest(asked, recorded, served)
  return {
    violations: [
      ...checkGroups(mark, asked, recorded),
      ...(served.length > recorded.length
        ? [
            {
              check: 'unrecorded',
              about: mark,
              detail: `the provider was asked ${served.length} times and ${recorded.length} calls are recorded`,
            } as const,
          ]
        : []),
      ...violations,
    ],
    pairs,
  }
}

/** Of a group all but the last call failed; a further group is made only for a repeated question, and only if nothing came of the one before. */
function checkGroups(mark: string, asked: Asked | undefined, recorded: readonly Recorded[]): Violation[] {
  const double = (detail: string): Violation => ({ check: 'double', about: mark, detail })
  const groups = [...Map.groupBy(recorded, ({ call }) => call.groupId)]
  const violations: Violation[] = []
  const allowed = asked?.other === undefined ? 1 : 2
  if (groups.length > allowed)
    violations.push(double(`recorded as ${groups.length} groups: ${groups.map(([id]) => id).join(', ')}`))
  const completed = recorded.filter(({ call }) => call.status === 'completed')
  if (completed.length > 1)
    violations.push(double(`completed by ${completed.map(({ call }) => call.id).join(' and ')}`))
  for (const [index, [id, members]] of groups.entries()) {
    if (index < groups.length - 1 && members.some(({ call }) => call.status === 'completed'))
      violations.push(double(`asked again in another group, though ${id} was answered`))
    if (members.length > mostAttempts)
      violations.push(double(`${members.length} attempts in ${id}, at most ${mostAttempts} are made`))
    violations.push(...members.flatMap((member, place) => checkPlace(member, place, members.length)))
  }
  return violations
}

function checkPlace({ call }: Recorded, place: number, count: number): Violation[] {
  const violations: Violation[] = []
  const double = (detail: string): Violation => ({ check: 'double', about: call.id, detail })
  const isFirst = place === 0
  if (isFirst !== (call.id === call.groupId) || isFirst !== (call.routeMode === undefined))
    violations.push(double(`call ${place + 1} of group ${call.groupId} with route mode ${call.routeMode}`))
  if (call.attempt !== place + 1)
    violations.push(double(`call ${place + 1} of its group says that it is attempt ${call.attempt}`))
  if (place < count - 1 && call.status !== 'failed')
    violations.push(double(`it is ${call.status}, and another attempt was made after it`))
  return violations
}

interface Reading {
  readonly violations: readonly Violation[]
  readonly pairs: readonly Pair[]
}

/** Which dispatch belongs to which call is nowhere said: of all ways to pair them in order, that which says the least against them. */
function likeliest(
  asked: Asked | undefined,
  recorded: readonly Recorded[],
  served: readonly Served[],
): Reading {
  const [first, ...others] = recorded
  if (first === undefined) return { violations: [], pairs: [] }
  const readings: Reading[] = []
  const read = (dispatch: Served | undefined, later: readonly Served[]): void => {
    const rest = likeliest(asked, others, later)
    readings.push({
      violations: [...checkCall(first, asked, dispatch), ...rest.violations],
      pairs: [{ recorded: first, served: dispatch }, ...rest.pairs],
    })
  }
  if (served.length > 0) read(served[0], served.slice(1))
  if (served.length < recorded.length) read(undefined, served)
  return readings.reduce((best, next) => (next.violations.length < best.violations.length ? next : best))
}

/** What is recorded of one call must be what its client asked and what its provider answered. */
function checkCall(
  { call, request, reply }: Recorded,
  asked: Asked | undefined,
  served: Served | undefined,
): Violation[] {
  const wrong = (detail: string): Violation => ({ check: 'wrongBytes', about: call.id, detail })
  if (asked === undefined) return [wrong('no client asked this')]
  const violations: Violation[] = []
  if (request.toString('utf8') !== asked.body)
    violations.push(wrong(`the request differs from ${asked.mark}'s`))
  if (call.userId !== asked.user)
    violations.push(wrong(`recorded for ${call.userId}, asked by ${asked.user}`))
  if (call.status === 'pending')
    violations.push({ check: 'open', about: call.id, detail: `${asked.mark} was never settled` })
  if (served === undefined && !mayBeUndispatched({ call, reply }))
    violations.push(wrong(`${call.status}, but the provider was not asked ${asked.mark} for it`))
  if (call.httpStatus !== undefined && call.httpStatus !== served?.status)
    violations.push(wrong(`answered with ${call.httpStatus}, but the provider sent ${served?.status}`))
  const sent = served?.sent ?? Buffer.alloc(0)
  if (reply !== undefined && !sent.subarray(0, reply.byteLength).equals(reply))
    violations.push(wrong(`the reply is not what the provider sent to ${asked.mark}`))
  const isWholeError = call.httpStatus !== undefined && call.httpStatus >= 400
  if ((isWholeError || isReadToItsEnd(call, served)) && reply?.byteLength !== sent.byteLength)
    violations.push(wrong(`what the provider sent to ${asked.mark} before it failed is not whole`))
  if (call.status !== 'completed') return violations
  if (served?.isWhole !== true || reply?.byteLength !== sent.byteLength)
    violations.push(wrong(`completed, but the provider's reply to ${asked.mark} was not whole`))
  if (call.inputTokens !== served?.inputTokens || call.outputTokens !== served?.outputTokens) {
    const detail = `${call.inputTokens} and ${call.outputTokens} tokens, but the provider counted ${served?.inputTokens} and ${served?.outputTokens}`
    violations.push({ check: 'usage', about: call.id, detail })
  }
  return violations
}

const unreached: ReadonlySet<string | undefined> = new Set(['provider_unreachable', 'provider_timeout'])

/** A call whose gateway died, or whose client left, before it was dispatched; or whose request never reached the provider. */
function mayBeUndispatched({ call, reply }: Pick<Recorded, 'call' | 'reply'>): boolean {
  if (reply !== undefined || call.httpStatus !== undefined) return false
  const { status, errorCode } = call
  if (status === 'failed') return unreached.has(errorCode)
  return status === 'orphaned' || status === 'aborted' || status === 'pending'
}

/** Whether a reply failed for what it was, not for its connection: then all of it had come. */
function isReadToItsEnd({ status, errorCode }: Recorded['call'], served: Served | undefined): boolean {
  return status === 'failed' && !unreached.has(errorCode) && served?.kind === 'ends midway'
}
