import { createHash } from 'node:crypto'
import type { Stele } from '../src/stele.ts'
import type { Asked, Served } from './journal.ts'
import { conversationOf } from './marks.ts'
import { checkClient } from './oracle-clients.ts'
import { checkConversations, type Owner } from './oracle-conversations.ts'
import { checkMessages } from './oracle-messages.ts'
import { checkQuestion } from './oracle-questions.ts'
import { checkUsage } from './oracle-usage.ts'
import { type Recorded, recordedAfter } from './recorded.ts'
import type { Violation } from './verdict.ts'

export interface Journals {
  readonly asked: readonly Asked[]
  readonly served: readonly Served[]
}

/** What a call was when it was first read: it must never be anything else. */
interface Known {
  readonly userId: string
  readonly status: string
  readonly request: string
  readonly reply: string | undefined
}

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
    const recorded: Recorded[] = []
    for await (const one of recordedAfter(stele, this.#lastId)) recorded.push(one)
    this.#lastId = recorded.at(-1)?.call.id ?? this.#lastId
    this.#remember(recorded, asked)
    const calls = Map.groupBy(recorded, one => one.mark)
    const dispatches = Map.groupBy(served, one => one.mark)
    const asks = new Map(asked.map(one => [one.mark, one]))
    const marks = new Set([...asks.keys(), ...calls.keys(), ...dispatches.keys()])
    return [
      ...[...marks].flatMap(mark => {
        const seen = { mark, asked: asks.get(mark), served: dispatches.get(mark) ?? [] }
        const own = calls.get(mark) ?? []
        const { violations, pairs } = checkQuestion(seen, own)
        return seen.asked === undefined ? violations : [...violations, ...checkClient(seen.asked, pairs)]
      }),
      ...(await checkMessages(stele, recorded)),
      ...(await checkUsage(stele)),
      ...(await checkConversations(stele, this.#owners)),
    ]
  }

  /** Checks that every call ever read is still what it was, and that no other has turned up. */
  async checkAll(stele: Stele): Promise<Violation[]> {
    const violations: Violation[] = []
    const seen = new Set<string>()
    for await (const recorded of recordedAfter(stele, undefined)) {
      const { id } = recorded.call
      seen.add(id)
      const known = this.#known.get(id)
      if (known === undefined)
        violations.push({ check: 'double', about: id, detail: 'it turned up after its round' })
      else if (JSON.stringify(known) !== JSON.stringify(knownOf(recorded)))
        violations.push({
          check: 'wrongBytes',
          about: id,
          detail: 'it is not what it was when its round ended',
        })
    }
    for (const id of this.#known.keys())
      if (!seen.has(id))
        violations.push({ check: 'missing', about: id, detail: 'it was recorded and is gone' })
    return violations
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
