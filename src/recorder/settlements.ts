import type { BegunCall, CallStart, Outcome } from '../model/call.ts'
import { unplacedCall } from '../model/call.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import type { Accounting, AskedRequest } from '../pricing/accounting.ts'
import type { Settlement } from './operations.ts'
import { checkOutcome } from './outcome-input.ts'
import { readReply, settlementOf } from './settlement.ts'

/** Makes settlements of outcomes: what is stored of a reply, and what it took and cost. */
export class Settlements {
  readonly #hashes: ConversationHashes
  readonly #accounting: Accounting
  /** What was asked in the calls under way: should a provider not say how much it read, it is counted. */
  readonly #asked = new Map<string, AskedRequest>()

  constructor(hashes: ConversationHashes, accounting: Accounting) {
    this.#hashes = hashes
    this.#accounting = accounting
  }

  /** Keeps in mind what was asked in a call, until it has ended. */
  begun<C extends BegunCall>(call: C, asked: AskedRequest): C {
    this.#asked.set(call.callId, asked)
    return call
  }

  ended(callId: string): void {
    this.#asked.delete(callId)
  }

  /** @throws SteleError invalid_value */
  async of(outcome: Outcome, call: BegunCall): Promise<Settlement> {
    return this.#of(outcome, call, this.#asked.get(call.callId))
  }

  /** The same of a call that is recorded whole. */
  async ofRecorded(outcome: Outcome, start: CallStart, asked: AskedRequest): Promise<Settlement> {
    return this.#of(outcome, unplacedCall(start), asked)
  }

  async #of(outcome: Outcome, call: BegunCall, asked: AskedRequest | undefined): Promise<Settlement> {
    checkOutcome(outcome)
    const reply = outcome.reply ?? readReply(outcome.body)
    const account = await this.#accounting.accountOf(call, outcome, reply, asked)
    return settlementOf(outcome, reply, account, call, this.#hashes)
  }
}
