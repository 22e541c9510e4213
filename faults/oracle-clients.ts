import type { Asked, Exchange, Served } from './journal.ts'
import type { Pair } from './oracle-questions.ts'
import { withoutUsage } from './replies.ts'
import type { Violation } from './verdict.ts'

/** What a client was told must be what is recorded, of the call that it was told. */
export function checkClient(asked: Asked, pairs: readonly Pair[]): Violation[] {
  const { other } = asked
  return [
    ...checkTold(asked, asked, pairs),
    ...(other === undefined ? [] : [...checkTold(asked, other, pairs), ...checkRepetition(asked, other)]),
  ]
}

function checkTold(asked: Asked, exchange: Exchange, pairs: readonly Pair[]): Violation[] {
  const { mark } = asked
  const { reply, received, callId, trouble } = exchange
  const about = callId ?? mark
  const missing = (detail: string): Violation => ({ check: 'missing', about, detail })
  const wrong = (detail: string): Violation => ({ check: 'wrongBytes', about, detail })
  const told = pairs.find(({ recorded }) => recorded.call.id === callId)
  // Every reply names a call, that to a request which was refused before its intent was committed too.
  const mustBeThere = received !== undefined || (pairs.length > 0 && asked.other === undefined)
  if (callId !== undefined && told === undefined && mustBeThere)
    return [
      pairs.length === 0
        ? missing(`the client of ${mark} was told of it and it is not recorded`)
        : wrong(`the client of ${mark} was told of it, and it is no call of that question`),
    ]
  if (reply !== undefined) {
    const answering = pairs.find(({ recorded }) => recorded.call.status === 'completed')
    if (answering === undefined)
      return [missing(`${mark} was answered whole and is ${standing(told ?? pairs.at(-1))}`)]
    const violations: Violation[] = []
    if (answering !== told && !isEarlyHead(asked, told))
      violations.push(wrong(`${mark} was answered by ${answering.recorded.call.id}, not by this call`))
    const { served } = answering
    if (served !== undefined && reply !== expectedReply(asked, served))
      violations.push(wrong(`the client of ${mark} got other bytes than the provider sent`))
    return violations
  }
  const last = pairs.findLast(({ recorded }) => recorded.call.groupId === told?.recorded.call.groupId)
  if (last?.served?.status === undefined || trouble !== `status ${last.served.status}`) return []
  if (last.recorded.call.status !== 'failed')
    return [missing(`${mark} was refused by the provider and is ${standing(last)}`)]
  return last === told
    ? []
    : [wrong(`${mark} was refused to ${last.recorded.call.id}, not to the call that its client was told`)]
}

function standing(pair: Pair | undefined): string {
  return pair === undefined ? 'not recorded' : `recorded as ${pair.recorded.call.status}`
}

/** How long the head of a stream is held at most while its provider says nothing, in milliseconds (docs/providers.md). */
const headHeldFor = 500

/** The head of a stream that had to be sent before anything came names the attempt of that moment. */
function isEarlyHead({ isStream }: Asked, told: Pair | undefined): boolean {
  if (!isStream || told === undefined) return false
  const { status, httpStatus, latencyMs = 0 } = told.recorded.call
  return status === 'failed' && httpStatus === 200 && latencyMs >= headHeldFor
}

const done = 'data: [DONE]\n\n'

function expectedReply(asked: Asked, served: Served): string {
  const sent = served.sent.toString('utf8')
  if (!asked.isStream) return sent
  const ended = sent.endsWith(done) ? sent : sent + done
  return asked.hidesUsage ? withoutUsage(ended) : ended
}

/** Who repeats a question with its key and is told of the same call gets the same bytes, as far as either came. */
function checkRepetition(asked: Asked, other: Exchange): Violation[] {
  const { mark, callId } = asked
  const about = callId ?? mark
  const [one, two] = [asked.received, other.received]
  if (asked.reply !== undefined && other.reply !== undefined && callId !== other.callId)
    return [{ check: 'double', about, detail: `${mark} was answered by ${other.callId} too` }]
  if (one === undefined || two === undefined || callId !== other.callId) return []
  if (one.startsWith(two) || two.startsWith(one)) return []
  return [
    { check: 'wrongBytes', about, detail: `the client of ${mark} got other bytes when it asked it again` },
  ]
}
