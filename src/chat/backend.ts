import type { SteleError } from '../errors.ts'
import type { Usage } from '../model/reply.ts'
import type { DayDimension, DayUsage } from './day-usage.ts'
import type { ChatMessage } from './message.ts'

/** Where a chat's messages are recorded. Both are undefined until that is known. */
export interface Thread {
  /** The name by which it is found again, also after its context was cleared. */
  readonly sessionId: string | undefined
  readonly conversationId: string | undefined
}

/** Where a chat is that nothing is on record of yet. */
export const nowhere: Thread = { sessionId: undefined, conversationId: undefined }

/** What a model is asked. */
export interface Question {
  readonly thread: Thread
  readonly messages: readonly ChatMessage[]
  /** Aborted when the reply is to stop; what came of it is kept. */
  readonly signal: AbortSignal
}

/** What became of a question. It is on record, whatever it is. */
export interface Answer {
  readonly status: 'completed' | 'aborted' | 'failed'
  /** True of one that was there already: nobody was asked, and nothing was paid. */
  readonly isCached?: boolean
  /** The model that answered, as it calls itself. */
  readonly model: string
  /** What the conversation has of it; undefined when it failed, or when nothing had come. */
  readonly message: ChatMessage | undefined
  /** All that came of it. */
  readonly text: string
  readonly error: SteleError | undefined
  readonly usage: Usage
  readonly latencyMs: number
  readonly callId: string | undefined
  /** Where it is recorded. */
  readonly thread: Thread
}

/** Replies of several models to one question, of which at most one goes into the conversation. */
export interface Comparison {
  /** In the order of the models. */
  readonly answers: readonly Answer[]
  /**
   * Takes one of them, or none, and settles all of them. To be called once.
   * @throws SteleError when that cannot be recorded
   */
  choose(index: number | undefined): Promise<Thread>
}

/** A conversation in a list. */
export interface SessionSummary {
  /** What `open` takes. */
  readonly id: string
  /** How it began; undefined when that is not known. */
  readonly opening: string | undefined
  readonly messages: number | undefined
  /** Milliseconds since 1970, UTC. */
  readonly lastUsedAt: number | undefined
}

export interface OpenedSession {
  readonly thread: Thread
  /** What is sent with the next question, the system prompt included. */
  readonly context: readonly ChatMessage[]
  /** What was said before the context was last cleared. */
  readonly earlier: readonly ChatMessage[]
  /** The model that answered last, as it was asked for. */
  readonly model: string | undefined
}

export interface SearchHit {
  readonly conversationId: string
  readonly seq: number
  readonly role: string
  readonly text: string
  /** Where the words stand in `text`: from, to. */
  readonly ranges: readonly (readonly [number, number])[]
}

export interface UsageSums {
  readonly calls: number
  readonly errors: number
  readonly inputTokens: number
  readonly outputTokens: number
  /** Nano-US-dollars, of the calls whose price is known. */
  readonly costNanousd: number
  readonly unpricedCalls: number
}

export const noUsage: UsageSums = {
  calls: 0,
  errors: 0,
  inputTokens: 0,
  outputTokens: 0,
  costNanousd: 0,
  unpricedCalls: 0,
}

/** What a chat stands on: a store of its own, or a gateway. Everything raises SteleErrors. */
export interface ChatBackend {
  /** Where everything is recorded, to show. */
  readonly place: string
  /** The user that it is recorded for; undefined when the gateway's key tells. */
  readonly userId: string | undefined
  models(): Promise<readonly string[]>
  /** The model that was asked last, as it was asked for; undefined when nobody knows. */
  lastModel(): Promise<string | undefined>
  /** @throws SteleError model_not_found for one that is known not to be served */
  requireModels(models: readonly string[]): void
  /** A place for a new conversation. */
  start(): Promise<Thread>
  /** A place for a conversation whose context was cleared (`keepsEarlier`), or whose first message is another one now. */
  startOver(thread: Thread, options: { readonly keepsEarlier: boolean }): Promise<Thread>
  /** Asks a model; `onText` is told what comes as it comes. @throws SteleError when the question cannot be recorded */
  ask(question: Question, model: string, onText: (text: string) => void): Promise<Answer>
  /** Asks several at once. @throws SteleError when the question cannot be recorded */
  compare(
    question: Question,
    models: readonly string[],
    onText: (index: number, text: string) => void,
  ): Promise<Comparison>
  /** The latest ones first. */
  sessions(limit: number): Promise<SessionSummary[]>
  /** @throws SteleError conversation_not_found */
  open(id: string): Promise<OpenedSession>
  search(words: string, limit: number): Promise<SearchHit[]>
  /** What the calls of a thread came to; undefined where nobody knows. */
  totals(thread: Thread): Promise<UsageSums | undefined>
  /** The user's calls of this day (UTC), in all and told apart. */
  usageToday(by: DayDimension): Promise<DayUsage>
  close(): Promise<void>
}
