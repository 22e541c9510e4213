import { createHash } from 'node:crypto'
import type { Stele } from '../src/stele.ts'
import type { Call } from '../src/store/calls.ts'
import type { Asked, Served } from './journal.ts'
import { conversationOf, markOf } from './marks.ts'
import { checkConversations, type Owner } from './oracle-conversations.ts'
import { checkUsage } from './oracle-usage.ts'
import { withoutUsage } from './replies.ts'
import type { Violation } from './verdict.ts'

export interface Journals {
  readonly asked: readonly Asked[]
  readonly served: readonly Served[]
}

interface Recorded {
  readonly call: Call
  readonly mark: string
  readonly request: Buffer
  readonly reply: Buffer | undefined
}

/** What a call was when it was first read: it must never be anything else. */
interface Known {
  readonly userId: string
  readonly status: string
  readonly request: string
  readonly reply: string | undefined
}

const page = 1_000

/**
 * Compares what is recorded with what clients and provider saw. It knows nothing of how the gateway works: only what went
 * into it, what came out of it, and what the library reads.
 */
export class Oracle {
  readonly #known = new Map<string, Known>()
  readonly #owners = new Map<string, Owner>()
  #lastId: string | undefined

  /** Calls read so far. */
  get callCount(): number {
    return this.#known.size
  }

  /** Checks the calls that were recorded since the last time against the journals of the same time. */
  async checkRound(stele: Stele, { asked, served }: Journals): Promise<Violation[]> {
    const recorded = await this.#newCalls(stele)
    const asks = new Map(asked.map(one => [one.mark, one]))
    const answers = new Map(served.map(one => [one.mark, one]))
    this.#remember(recorded, asked)
    const byMark = Map.groupBy(recorded, one => one.mark)
    return [
      ...[...byMark].flatMap(([mark, same]) => twice(mark, same)),
      ...recorded.flatMap(one => checkCall(one, asks.get(one.mark), answers.get(one.mark))),
      ...asked.flatMap(one => checkAcknowledged(one, byMark.get(one.mark)?.[0], answers.get(one.mark))),
      ...checkDispatched(served, byMark),
      ...(await checkUsage(stele)),
      ...(await checkConversations(stele, this.#owners)),
    ]
  }

  /** Checks that every call ever read is still what it was, and that no other has turned up. */
  async checkAll(stele: Stele): Promise<Violation[]> {
    const violations: Violation[] = []
    const seen = new Set<string>()
    for await (const call of callsAfter(stele, undefined)) {
      seen.add(call.id)
      const known = this.#known.get(call.id)
      const now = knownOf(await read(stele, call))
      if (known === undefined)
        violations.push({ check: 'double', about: call.id, detail: 'it turned up after its round' })
      else if (JSON.stringify(known) !== JSON.stringify(now))
        violations.push({
          check: 'wrongBytes',
          about: call.id,
          detail: 'it is not what it was when its round ended',
        })
    }
    for (const id of this.#known.keys())
      if (!seen.has(id))
        violations.push({ check: 'missing', about: id, detail: 'it was recorded and is gone' })
    return violations
  }

  async #newCalls(stele: Stele): Promise<Recorded[]> {
    const recorded: Recorded[] = []
    for await (const call of callsAfter(stele, this.#lastId)) {
      recorded.push(await read(stele, call))
      this.#lastId = call.id
    }
    return recorded
  }

  #remember(recorded: readonly Recorded[], asked: readonly Asked[]): void {
    const retold = new Set(asked.filter(one => one.retells).map(one => conversationOf(one.mark)))
    for (const one of recorded) {
      const conversation = conversationOf(one.mark)
      this.#known.set(one.call.id, knownOf(one))
      this.#owners.set(one.call.id, { conversation, mayFork: retold.has(conversation) })
    }
  }
}

async function* callsAfter(stele: Stele, id: string | undefined): AsyncGenerator<Call> {
  // Lower than any id there is.
  for (let after = id ?? 'call_'; ; ) {
    const calls = await stele.calls.list({ after, limit: page })
    yield* calls
    const last = calls.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

async function read(stele: Stele, call: Call): Promise<Recorded> {
  const unreadable = (error: unknown): Buffer => Buffer.from(`unreadable: ${String(error)}`)
  const request = await stele.calls.exactRequest(call.userId, call.id).catch(unreadable)
  const reply = await stele.calls.exactResponse(call.userId, call.id).catch(unreadable)
  return { call, mark: markOf(request.toString('utf8')), request, reply }
}

function knownOf({ call, request, reply }: Recorded): Known {
  return {
    userId: call.userId,
    status: call.status,
    request: digest(request),
    reply: reply && digest(reply),
  }
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('base64')
}

function twice(mark: string, same: readonly Recorded[]): Violation[] {
  if (same.length < 2) return []
  const ids = same.map(({ call }) => call.id).join(', ')
  return [{ check: 'double', about: mark, detail: `recorded ${same.length} times: ${ids}` }]
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
  if (asked.callId !== undefined && asked.callId !== call.id)
    violations.push(wrong(`its client was told that it is ${asked.callId}`))
  if (call.status === 'pending')
    violations.push({ check: 'open', about: call.id, detail: `${asked.mark} was never settled` })
  const sent = served?.sent ?? Buffer.alloc(0)
  if (reply !== undefined && !sent.subarray(0, reply.byteLength).equals(reply))
    violations.push(wrong(`the reply is not what the provider sent to ${asked.mark}`))
  const isWholeError = call.httpStatus !== undefined && call.httpStatus >= 400
  if (isWholeError && reply?.byteLength !== sent.byteLength)
    violations.push(wrong(`the provider's error to ${asked.mark} is not whole`))
  if (call.status !== 'completed') return violations
  if (served?.isWhole !== true || reply?.byteLength !== sent.byteLength)
    violations.push(wrong(`completed, but the provider's reply to ${asked.mark} was not whole`))
  if (call.inputTokens !== served?.inputTokens || call.outputTokens !== served?.outputTokens) {
    const detail = `${call.inputTokens} and ${call.outputTokens} tokens, but the provider counted ${served?.inputTokens} and ${served?.outputTokens}`
    violations.push({ check: 'usage', about: call.id, detail })
  }
  return violations
}

/** A reply that ended whole for its client must be recorded as it was told, and be what the provider sent. */
function checkAcknowledged(
  asked: Asked,
  recorded: Recorded | undefined,
  served: Served | undefined,
): Violation[] {
  const { mark, reply, callId } = asked
  const about = callId ?? mark
  const wasRefused = served?.status !== undefined && asked.trouble === `status ${served.status}`
  if (reply === undefined && !wasRefused) return []
  const [told, status] = wasRefused ? ['refused by the provider', 'failed'] : ['answered whole', 'completed']
  if (recorded?.call.status !== status) {
    const detail = `${mark} was ${told} and is ${recorded === undefined ? 'not recorded' : `recorded as ${recorded.call.status}`}`
    return [{ check: 'missing', about, detail }]
  }
  return served === undefined || reply === undefined || reply === expectedReply(asked, served)
    ? []
    : [{ check: 'wrongBytes', about, detail: `the client of ${mark} got other bytes than the provider sent` }]
}

const done = 'data: [DONE]\n\n'

function expectedReply(asked: Asked, served: Served): string {
  const sent = served.sent.toString('utf8')
  if (!asked.isStream) return sent
  const ended = sent.endsWith(done) ? sent : sent + done
  return asked.hidesUsage ? withoutUsage(ended) : ended
}

function checkDispatched(
  served: readonly Served[],
  byMark: ReadonlyMap<string, readonly Recorded[]>,
): Violation[] {
  const seen = Map.groupBy(served, one => one.mark)
  return [...seen].flatMap(([mark, same]): Violation[] => [
    ...(same.length > 1
      ? [{ check: 'double', about: mark, detail: `the provider was asked ${same.length} times` } as const]
      : []),
    ...(byMark.has(mark)
      ? []
      : [
          {
            check: 'unrecorded',
            about: mark,
            detail: 'the provider was asked and no request is recorded',
          } as const,
        ]),
  ])
}
