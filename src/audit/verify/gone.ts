import type { Row } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import { idTime, isId } from '../../ids.ts'
import { commitsToCall } from '../../model/call-record.ts'
import { objectFrom } from '../../model/json-object.ts'
import { markedSeq } from '../../model/responses/told-history.ts'
import { isAbsent } from '../../privacy/content.ts'
import { keyIdOf, modeOf } from '../../privacy/sealed-content.ts'
import type { Reading } from '../../store/contents.ts'
import { conversationStore } from '../../store/conversations.ts'
import type { CommittingEvent } from '../committed-content.ts'
import type { Act, LoggedActs } from './acts.ts'
import { RetentionHorizons } from './horizons.ts'

/** What is held at once of users, and of calls that have begun. */
const mostUsers = 5_000
const mostCalls = 10_000

/** Between the beginning of a call and the making of its id, in milliseconds. */
const margin = 60_000

type Message = Pick<Row<'messages'>, 'conversation_id' | 'created_at'>

/** Tells whether the log says why content is gone: nothing else makes it right. */
export class GoneContent {
  readonly #reading: Reading
  readonly #acts: LoggedActs
  readonly #horizons: RetentionHorizons
  readonly #erasures = new Map<string, readonly Act[]>()
  /** When the newest calls were begun, by their ids. */
  readonly #begunAt = new Map<string, number>()

  constructor(reading: Reading, acts: LoggedActs) {
    this.#reading = reading
    this.#acts = acts
    this.#horizons = new RetentionHorizons(acts)
  }

  /** To be told of every event, in the order of the log. */
  note({ action, target, created_at }: CommittingEvent): void {
    if (action !== 'call.begun' || target === null) return
    const [oldest] = this.#begunAt.keys()
    if (this.#begunAt.size >= mostCalls && oldest !== undefined) this.#begunAt.delete(oldest)
    this.#begunAt.set(target, created_at)
  }

  async isExplained(index: number, event: CommittingEvent): Promise<boolean> {
    const { user_id: userId, target: callId } = event
    if (!commitsToCall(event.action) || callId === null) return this.#isSaidExplained(index, event)
    const { request, response } = await this.#rowsOf(userId, callId)
    const at = this.#timeOf(event)
    // Erasing leaves the row.
    if (request === undefined) return this.#horizons.covers(userId, index, at, 'metadata')
    if (await this.isErased(index, event)) return true
    const isBegin = event.action === 'call.begun'
    const own = isBegin ? (request.body ?? request.params) : response?.body
    if (own == null) return false
    const stored = own as unknown as Uint8Array
    const mode = modeOf(stored)
    if (mode === 'hashed') return this.#isDigest(index, userId, stored)
    if (mode === undefined)
      return (
        (await this.#horizons.covers(userId, index, at, 'content')) ||
        (await this.#isPurged(index, userId, callId, [request.conversation_id, response?.conversation_id]))
      )
    // What stands there whole lacks no message, and of what nobody can open nothing tells that it did.
    const isWhole = isBegin ? request.body !== null : response?.content_at == null
    if (isWhole || !(await this.#opens(userId, stored))) return false
    const lacking = isBegin
      ? await this.#lackingBefore(userId, request)
      : await this.#messageAt(userId, response?.conversation_id, response?.seq)
    return lacking !== undefined && this.#isMessageExplained(index, userId, lacking)
  }

  /** Whether the user of an event was erased after it. */
  async isErased(index: number, event: CommittingEvent): Promise<boolean> {
    const { target, created_at } = event
    const madeAt = isId('call', target) ? idTime(target) : created_at
    const erasures = await this.#erasuresOf(event.user_id)
    // What was begun before it and is written afterwards is without content, too.
    return erasures.some(erasure => erasure.index > index || madeAt <= erasure.event.created_at)
  }

  /** Nothing is kept of what is said of somebody who is erased, until they are back. */
  async #isSaidExplained(index: number, { id, user_id: userId }: CommittingEvent): Promise<boolean> {
    const said = await this.#reading.kysely
      .selectFrom('audit_details')
      .select('content')
      .where('user_id', '=', userId)
      .where('event_id', '=', id)
      .executeTakeFirst()
    const erasures = await this.#erasuresOf(userId)
    if (erasures.some(erasure => erasure.index > index)) return true
    const stored = said?.content as unknown as Uint8Array | undefined
    if (stored !== undefined && modeOf(stored) === 'hashed') return this.#isDigest(index, userId, stored)
    const last = erasures.at(-1)
    if (last === undefined || said !== undefined) return false
    return !(await this.#acts.hasCallBetween(userId, last.index, index))
  }

  /**
   * Whether content was never kept. A key of the user has written that, as opening it has shown; a digest stays as it is when the user
   * gets another key, and nobody can check it any more.
   */
  async #isDigest(index: number, userId: string, stored: Uint8Array): Promise<boolean> {
    if (await this.#opens(userId, stored)) return true
    const rotations = await this.#acts.of('data_key.rotated', userId)
    return rotations.some(rotation => rotation.index > index)
  }

  /** Whether the key of a stored value is there. */
  async #opens(userId: string, stored: Uint8Array): Promise<boolean> {
    const id = keyIdOf(stored)
    if (id === undefined) return true
    const row = await this.#reading.kysely
      .selectFrom('data_keys')
      .select('wrapped_key')
      .where('user_id', '=', userId)
      .where('id', '=', id)
      .executeTakeFirst()
    return row != null && row.wrapped_key !== null
  }

  async #erasuresOf(userId: string): Promise<readonly Act[]> {
    const known = this.#erasures.get(userId)
    if (known !== undefined) return known
    const begun = await this.#acts.about('user.erasure_begun', userId)
    const erased = await this.#acts.about('user.erased', userId)
    const erasures = [...begun, ...erased].sort((a, b) => a.index - b.index)
    if (this.#erasures.size >= mostUsers) this.#erasures.clear()
    this.#erasures.set(userId, erasures)
    return erasures
  }

  async #rowsOf(userId: string, callId: string) {
    const { kysely } = this.#reading
    const request = await kysely
      .selectFrom('llm_requests')
      .select(['conversation_id', 'up_to_seq', 'separator', 'body', 'params'])
      .where('user_id', '=', userId)
      .where('id', '=', callId)
      .executeTakeFirst()
    const response = await kysely
      .selectFrom('llm_responses')
      .select(['conversation_id', 'seq', 'body', 'content_at'])
      .where('user_id', '=', userId)
      .where('request_id', '=', callId)
      .executeTakeFirst()
    return { request, response }
  }

  /** When the call of an event was begun, as far as the log tells. */
  #timeOf({ action, target, created_at: at }: CommittingEvent): number {
    if (action !== 'call.settled' || target === null) return at
    const begunAt = this.#begunAt.get(target)
    if (begunAt !== undefined) return begunAt
    return isId('call', target) ? Math.min(idTime(target) - margin, at) : at
  }

  async #isPurged(
    index: number,
    userId: string,
    callId: string,
    conversations: readonly (string | null | undefined)[],
  ): Promise<boolean> {
    for (const id of new Set(conversations))
      for (const purge of await this.#purgesOf(userId, id ?? '')) {
        const { calls } = objectFrom(purge.event.details) ?? {}
        // A version that did not name the calls has emptied all that were in the conversation.
        if (calls === undefined ? purge.index > index : Array.isArray(calls) && calls.includes(callId))
          return true
      }
    return false
  }

  async #purgesOf(userId: string, conversationId: string): Promise<Act[]> {
    if (conversationId === '') return []
    const purges = await this.#acts.about('conversation.purged', conversationId)
    return purges.filter(({ event }) => event.user_id === userId)
  }

  /** The message because of which a request cannot be put together; `beginning` when all before one are gone. */
  async #lackingBefore(
    userId: string,
    request: Pick<Row<'llm_requests'>, 'conversation_id' | 'separator' | 'up_to_seq'>,
  ): Promise<Message | 'beginning' | undefined> {
    const lastSeq = markedSeq(request.separator) ?? request.up_to_seq
    const history = await conversationStore(this.#reading)
      .history(userId, request.conversation_id, lastSeq)
      .catch(whenUnreadable)
    if (history === undefined) return undefined
    const bySeq = new Map(history.map(row => [row.seq, row]))
    for (let seq = lastSeq; seq >= 0; ) {
      const row = bySeq.get(seq)
      if (row === undefined) return 'beginning'
      if (isAbsent(row.content)) return row
      seq = row.echo === null || row.echo_from === null ? seq - 1 : row.echo_from - 1
    }
    return undefined
  }

  async #messageAt(
    userId: string,
    conversationId: string | null | undefined,
    seq: number | null | undefined,
  ): Promise<Message | undefined> {
    if (conversationId == null || seq == null) return undefined
    return this.#reading.kysely
      .selectFrom('messages')
      .select(['conversation_id', 'created_at'])
      .where('user_id', '=', userId)
      .where('conversation_id', '=', conversationId)
      .where('seq', '=', seq)
      .executeTakeFirst()
  }

  /** Messages go by their own time. */
  async #isMessageExplained(index: number, userId: string, message: Message | 'beginning'): Promise<boolean> {
    if (message === 'beginning') return this.#horizons.covers(userId, index, 0, 'metadata')
    const { conversation_id: id, created_at: at } = message
    if (await this.#horizons.covers(userId, index, at, 'content')) return true
    return (await this.#purgesOf(userId, id)).some(purge => purge.index > index)
  }
}

/** Messages that nobody can open were not let go by anything that the log tells of. */
function whenUnreadable(error: unknown): undefined {
  const isExpected =
    error instanceof SteleError && (error.code === 'content_erased' || error.code === 'content_unreadable')
  if (!isExpected) throw error
}
