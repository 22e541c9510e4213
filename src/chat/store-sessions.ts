import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import { itemRole } from '../model/responses/given-items.ts'
import type { Stele } from '../stele.ts'
import type { Conversation } from '../store/conversations.ts'
import { noUsage, type OpenedSession, type SessionSummary, type Thread, type UsageSums } from './backend.ts'
import { type ChatMessage, messageFrom } from './message.ts'

/** Messages of one conversation that are read back. */
const mostMessages = 10_000

/** Among so many messages is one that a call has brought. */
const lookedBack = 4

/** How often a context may have been cleared before what came first is left out. */
const mostClearings = 50

/** What a chat keeps and finds of its conversations in a store: the one place that knows how. */
export class StoreSessions {
  readonly #stele: Stele
  readonly #userId: string

  constructor(stele: Stele, userId: string) {
    this.#stele = stele
    this.#userId = userId
  }

  /** A conversation that is named by its own id. */
  async start(): Promise<Thread> {
    const id = newId('conversation')
    await this.#stele.conversations.create({ userId: this.#userId, id, sessionId: id })
    return { sessionId: id, conversationId: id }
  }

  async startOver({ sessionId, conversationId }: Thread, keepsParent: boolean): Promise<Thread> {
    if (conversationId === undefined) return this.start()
    const { id } = await this.#stele.conversations.restart(this.#userId, conversationId, { keepsParent })
    return { sessionId, conversationId: id }
  }

  /** Where a call of this thread went: a conversation that went another way has a name of its own. */
  async follow(thread: Thread, conversationId: string | undefined): Promise<Thread> {
    if (conversationId === undefined || conversationId === thread.conversationId) return thread
    const { conversations } = this.#stele
    const known = (await conversations.get(this.#userId, conversationId))?.sessionId
    const sessionId = known ?? conversationId
    if (known === undefined) await conversations.update(this.#userId, conversationId, { sessionId })
    return { sessionId, conversationId }
  }

  async list(limit: number): Promise<SessionSummary[]> {
    const sessions = await this.#stele.conversations.list({ userId: this.#userId, recent: true, limit })
    return sessions.map(({ id, sessionId, displayTitle, nextSeq, updatedAt }) => ({
      id: sessionId ?? id,
      opening: displayTitle,
      messages: nextSeq,
      lastUsedAt: updatedAt,
    }))
  }

  async lastModel(): Promise<string | undefined> {
    const { conversations, messages } = this.#stele
    const [last] = await conversations.list({ userId: this.#userId, recent: true, limit: 1 })
    if (last === undefined) return undefined
    const page = { userId: this.#userId, conversationId: last.id, limit: lookedBack }
    return this.#modelOf(await messages.list(page))
  }

  async open(id: string): Promise<OpenedSession> {
    const { conversations } = this.#stele
    const conversation =
      (await conversations.bySession(this.#userId, id)) ?? (await conversations.get(this.#userId, id))
    if (conversation === undefined) throw new SteleError('conversation_not_found', { conversation: id })
    const { sessionId = conversation.id } = conversation
    // One that was made elsewhere is found by its last use from now on.
    if (conversation.sessionId === undefined)
      await conversations.update(this.#userId, conversation.id, { sessionId })
    const messages = await this.#messages(conversation.id)
    const earlier: ChatMessage[] = []
    for (const parent of await this.#before(conversation))
      earlier.push(...(await this.#messages(parent.id)).map(({ raw }) => messageFrom(raw)))
    return {
      thread: { sessionId, conversationId: conversation.id },
      context: messages.map(({ raw }) => messageFrom(raw)),
      earlier,
      model: await this.#modelOf(messages),
    }
  }

  /** What the calls of a thread came to, before its context was cleared too. */
  async totals({ conversationId }: Thread): Promise<UsageSums | undefined> {
    const { conversations } = this.#stele
    const last =
      conversationId === undefined ? undefined : await conversations.get(this.#userId, conversationId)
    if (last === undefined) return undefined
    const parts = await Promise.all(
      [...(await this.#before(last)), last].map(({ id }) => conversations.totals(this.#userId, id)),
    )
    return parts.reduce<UsageSums>(
      (sum, part) => ({
        calls: sum.calls + part.calls,
        errors: sum.errors + part.errors,
        inputTokens: sum.inputTokens + part.inputTokens,
        outputTokens: sum.outputTokens + part.outputTokens,
        costNanousd: sum.costNanousd + part.costNanousd,
        unpricedCalls: sum.unpricedCalls + part.unpricedCalls,
      }),
      noUsage,
    )
  }

  /** The conversations that this one took the name of, the first one first. */
  async #before(conversation: Conversation): Promise<Conversation[]> {
    const found: Conversation[] = []
    for (let next = conversation; next.parentSeq === -1 && found.length < mostClearings; ) {
      const parent = await this.#stele.conversations.get(this.#userId, next.parentId ?? '')
      // Another chat may go on there, as where its conversation was merely named by a call.
      if (parent === undefined || parent.sessionId !== undefined) break
      found.unshift(parent)
      next = parent
    }
    return found
  }

  /** What was said: messages that only stand for items without words are told to no model. */
  async #messages(conversationId: string) {
    const { messages } = this.#stele
    const all = await messages.list({ userId: this.#userId, conversationId, limit: mostMessages })
    return all.filter(({ role }) => role !== itemRole)
  }

  /** As it was asked for: what answers may call itself otherwise. */
  async #modelOf(messages: readonly { readonly callId: string | undefined }[]): Promise<string | undefined> {
    const callId = messages.findLast(message => message.callId !== undefined)?.callId
    const request =
      callId === undefined
        ? undefined
        : await this.#stele.calls.exactRequest(this.#userId, callId).catch(() => undefined)
    if (request === undefined) return undefined
    const { model } = JSON.parse(request.toString('utf8')) as { model?: unknown }
    return typeof model === 'string' ? model : undefined
  }
}
