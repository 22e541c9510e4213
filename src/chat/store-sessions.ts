import { SteleError } from '../errors.ts'
import type { Stele } from '../stele.ts'
import { type Session, sessionStore } from '../store/sessions.ts'
import type { OpenedSession, SessionSummary, Thread } from './backend.ts'
import { type ChatMessage, messageFrom } from './message.ts'

/** Messages of one conversation that are read back. */
const mostMessages = 10_000

/** How often a context may have been cleared before what came first is left out. */
const mostClearings = 50

/** What a chat keeps and finds of its conversations in a store: the one place that knows how. */
export class StoreSessions {
  readonly #stele: Stele
  readonly #userId: string
  readonly #sessions: ReturnType<typeof sessionStore>

  constructor(stele: Stele, userId: string) {
    this.#stele = stele
    this.#userId = userId
    this.#sessions = sessionStore(stele.database)
  }

  async start(): Promise<Thread> {
    return threadOf(await this.#sessions.create(this.#userId))
  }

  async startOver({ sessionId }: Thread, keepsEarlier: boolean): Promise<Thread> {
    if (sessionId === undefined) return this.start()
    return threadOf(await this.#sessions.replace(this.#userId, sessionId, { keepsParent: keepsEarlier }))
  }

  /** Where a call of this thread went: a conversation that went another way has a name of its own. */
  async follow(thread: Thread, conversationId: string | undefined): Promise<Thread> {
    if (conversationId === undefined || conversationId === thread.conversationId) return thread
    await this.#sessions.name(this.#userId, conversationId)
    return { sessionId: conversationId, conversationId }
  }

  async list(limit: number): Promise<SessionSummary[]> {
    const sessions = await this.#sessions.list(this.#userId, limit)
    return Promise.all(
      sessions.map(async ({ sessionId, conversationId, nextSeq, updatedAt }) => ({
        id: sessionId,
        opening: await this.#opening(conversationId),
        messages: nextSeq,
        lastUsedAt: updatedAt,
      })),
    )
  }

  async open(id: string): Promise<OpenedSession> {
    const { conversations } = this.#stele
    const session = await this.#sessions.get(this.#userId, id)
    const conversation = await conversations.get(this.#userId, session?.conversationId ?? id)
    if (conversation === undefined) throw new SteleError('conversation_not_found', { conversation: id })
    // One that was made elsewhere is found by its last use from now on.
    if (session === undefined) await this.#sessions.name(this.#userId, conversation.id)
    const messages = await this.#messages(conversation.id)
    const earlier: ChatMessage[] = []
    for (let next = conversation, clearings = 0; next.parentSeq === -1; clearings++) {
      const parent = await conversations.get(this.#userId, next.parentId ?? '')
      if (parent === undefined || clearings === mostClearings) break
      earlier.unshift(...(await this.#messages(parent.id)).map(({ raw }) => messageFrom(raw)))
      next = parent
    }
    return {
      thread: { sessionId: session?.sessionId ?? conversation.id, conversationId: conversation.id },
      context: messages.map(({ raw }) => messageFrom(raw)),
      earlier,
      model: await this.#lastModel(messages),
    }
  }

  async #opening(conversationId: string): Promise<string | undefined> {
    const first = await this.#stele.messages.list({
      userId: this.#userId,
      conversationId,
      limit: 3,
      before: 3,
    })
    const asked = first.find(({ role }) => role === 'user')
    return asked && messageFrom(asked.raw).text
  }

  #messages(conversationId: string) {
    return this.#stele.messages.list({ userId: this.#userId, conversationId, limit: mostMessages })
  }

  /** As it was asked for: what answers may call itself otherwise. */
  async #lastModel(
    messages: readonly { readonly callId: string | undefined }[],
  ): Promise<string | undefined> {
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

function threadOf({ sessionId, conversationId }: Session): Thread {
  return { sessionId, conversationId }
}
