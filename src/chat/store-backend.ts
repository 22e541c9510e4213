import { type CompressionName, levelOf } from '../compression/levels.ts'
import { SteleError } from '../errors.ts'
import { type AttemptFailure, isFromThisSide, isOutage, verdictOn } from '../gateway/attempt-failure.ts'
import { backoff } from '../gateway/backoff.ts'
import { compressedRequest } from '../gateway/compressed-request.ts'
import { chatRequest, type GatewayRequest } from '../gateway/gateway-request.ts'
import { maskedRequest } from '../gateway/masking/masked-request.ts'
import type { Masking } from '../gateway/masking/masking.ts'
import { storeFailure } from '../gateway/store-failure.ts'
import { newId } from '../ids.ts'
import type { BegunCall, RouteMode } from '../model/call.ts'
import { parseChatRequest } from '../model/chat-request.ts'
import { assistantMessageText } from '../model/reply.ts'
import type { Passage } from '../providers/circuit-breaker.ts'
import { servedModels } from '../providers/models.ts'
import type { ProviderRegistry, Target } from '../providers/registry.ts'
import { retryAfter } from '../providers/retry-after.ts'
import type { Stele } from '../stele.ts'
import {
  type Answer,
  type ChatBackend,
  type Comparison,
  nowhere,
  type OpenedSession,
  type Question,
  type SearchHit,
  type SessionSummary,
  type Thread,
  type UsageSums,
} from './backend.ts'
import { type DayDimension, type DayUsage, dayRows, dayUsageOf } from './day-usage.ts'
import { type ChatMessage, messageFrom, requestBody } from './message.ts'
import { askProvider, inKeptForm, type ProviderEnd } from './provider-call.ts'
import type { ChatCache, ChatCaching } from './store-cache.ts'
import { StoreSessions } from './store-sessions.ts'

export interface StoreBackendOptions {
  readonly stele: Stele
  readonly providers: ProviderRegistry
  readonly userId: string
  /** Bytes of a provider's reply. */
  readonly replyLimit: number
  /** How what is asked and answered is masked; left out, it is not. */
  readonly masking?: (() => Masking | undefined) | undefined
  /** How prompts are compressed; not at all when left out. */
  readonly compress?: CompressionName
  /** Whether an answer that is there already may do; none when left out. */
  readonly caching?: ChatCaching
}

/** A chat straight on a store: what a gateway does for a call, without HTTP. */
export class StoreBackend implements ChatBackend {
  readonly place: string
  readonly userId: string
  readonly #options: StoreBackendOptions
  readonly #sessions: StoreSessions

  constructor(options: StoreBackendOptions) {
    this.#options = options
    this.userId = options.userId
    this.place = options.stele.database.location.display
    this.#sessions = new StoreSessions(options.stele, options.userId)
  }

  models(): Promise<readonly string[]> {
    return servedModels(this.#options.providers)
  }

  lastModel(): Promise<string | undefined> {
    return this.#store(this.#sessions.lastModel())
  }

  requireModels(models: readonly string[]): void {
    for (const model of models) this.#options.providers.targets(model)
  }

  async start(): Promise<Thread> {
    try {
      return await this.#store(this.#sessions.start())
    } catch (error) {
      const isAway = error instanceof SteleError && error.code === 'store_unavailable'
      // Calls go to the spool meanwhile; their conversation is made when they are drained.
      if (isAway && this.#options.stele.recorder.spool !== undefined) return nowhere
      throw error
    }
  }

  startOver(thread: Thread, { keepsEarlier }: { readonly keepsEarlier: boolean }): Promise<Thread> {
    return this.#store(this.#sessions.startOver(thread, keepsEarlier))
  }

  sessions(limit: number): Promise<SessionSummary[]> {
    return this.#store(this.#sessions.list(limit))
  }

  open(id: string): Promise<OpenedSession> {
    return this.#store(this.#sessions.open(id))
  }

  async search(query: string, limit: number): Promise<SearchHit[]> {
    const { stele } = this.#options
    const { hits } = await this.#store(stele.search({ userId: this.userId, query, limit }))
    return hits.map(({ conversationId, seq, role, snippet }) => ({ conversationId, seq, role, ...snippet }))
  }

  totals(thread: Thread): Promise<UsageSums | undefined> {
    return this.#store(this.#sessions.totals(thread))
  }

  async usageToday(by: DayDimension): Promise<DayUsage> {
    const today = new Date().toISOString()
    const { usage } = this.#options.stele
    const query = { user: this.userId, since: today, until: today, by: [by], limit: dayRows }
    return dayUsageOf(await this.#store(usage.report(query)), by)
  }

  async close(): Promise<void> {
    await this.#options.providers.close()
    await this.#options.stele.close()
  }

  async ask(question: Question, model: string, onText: (text: string) => void): Promise<Answer> {
    const { providers, masking, caching, userId } = this.#options
    const targets = providers.targets(model)
    const masked = masking?.()
    const request = await this.#prepared(model, question.messages, masked)
    const cache = await caching?.(userId, masked)
    const attempts = new Attempts(this.#options, this.#sessions, {
      ...question,
      request,
      targets,
      onText,
      cache,
    })
    try {
      return await attempts.run()
    } finally {
      cache?.release()
    }
  }

  async compare(
    { thread, messages, signal }: Question,
    models: readonly string[],
    onText: (index: number, text: string) => void,
  ): Promise<Comparison> {
    const { providers, stele, userId, replyLimit, masking } = this.#options
    const groupId = newId('call')
    const asked = await Promise.all(
      models.map(async (model, index) => {
        const [target] = providers.targets(model)
        if (target === undefined) throw new SteleError('model_not_found', { model, hint: '' })
        const asking = await this.#prepared(model, messages, masking?.())
        const request = (await asking.forTarget?.(target)) ?? asking
        const callId = index === 0 ? groupId : newId('call')
        return { target, request, callId }
      }),
    )
    const calls = await stele.recorder.beginAll(
      asked.map(({ target, request, callId }) => ({
        callId,
        groupId,
        routeMode: 'compare',
        userId,
        provider: target.provider.name,
        requestModel: target.model,
        body: request.body,
        sent: request.recording?.sent,
        sentText: request.recording?.sentText,
        conversationId: thread.conversationId,
      })),
    )
    const ends = await Promise.all(
      asked.map(async ({ target, request }, index) => {
        const call = { target, request, userId, signal, replyLimit }
        return inKeptForm(await askProvider({ ...call, onText: text => onText(index, text) }), request)
      }),
    )
    const placed = await this.#sessions.follow(thread, calls[0]?.conversationId)
    return {
      answers: ends.map((end, index) => answerFrom(end, calls[index], asked[index]?.target, placed)),
      choose: async chosen => {
        const { conversationId } = await stele.recorder.settleAll(
          calls.flatMap((call, index) => {
            const end = ends[index]
            if (end === undefined) return []
            const { outcome } = end
            // The replies that were not taken are kept with their calls alone.
            if (index === chosen) return [{ call, outcome }]
            return [{ call, outcome: { ...outcome, said: undefined, isApart: true } }]
          }),
        )
        return this.#sessions.follow(placed, conversationId)
      },
    }
  }

  /** A request as it goes to a provider: masked, then compressed. @throws SteleError masking_unavailable */
  async #prepared(
    model: string,
    messages: readonly ChatMessage[],
    masking: Masking | undefined,
  ): Promise<GatewayRequest> {
    const { compress = 'off', replyLimit } = this.#options
    const request = chatRequest(parseChatRequest(requestBody(model, messages)))
    return compressedRequest(await maskedRequest(request, masking, { replyLimit }), levelOf(compress))
  }

  /** What the store answers, its failures in the table's terms. */
  async #store<R>(answer: Promise<R>): Promise<R> {
    try {
      return await answer
    } catch (error) {
      throw storeFailure(this.#options.stele.database, error)
    }
  }
}

interface Asking extends Question {
  readonly request: GatewayRequest
  readonly targets: readonly Target[]
  readonly onText: (text: string) => void
  readonly cache: ChatCache | undefined
}

/** Asks a model's targets until one answers, as a gateway does: each attempt is begun and settled before the next. */
class Attempts {
  readonly #options: StoreBackendOptions
  readonly #sessions: StoreSessions
  readonly #asking: Asking
  readonly #groupId = newId('call')
  readonly #startedAt: number
  #count = 0
  #last: { readonly answer: Answer; readonly failure: AttemptFailure } | undefined

  constructor(options: StoreBackendOptions, sessions: StoreSessions, asking: Asking) {
    this.#options = options
    this.#sessions = sessions
    this.#asking = asking
    this.#startedAt = options.providers.timing.now()
  }

  async run(): Promise<Answer> {
    const given = await this.#given()
    if (given !== undefined) return given
    for (const [index, target] of this.#asking.targets.entries()) {
      const answer = await this.#ask(target, index === 0 ? undefined : 'fallback')
      if (answer !== undefined) return answer
      if (this.#asking.signal.aborted) break
    }
    if (this.#last !== undefined) return this.#last.answer
    const provider = this.#asking.targets[0]?.provider.name ?? ''
    throw new SteleError('provider_unavailable', { provider })
  }

  /** The answer that is there already, recorded as one; undefined when a provider is to be asked. */
  async #given(): Promise<Answer | undefined> {
    const { cache, thread, ...asked } = this.#asking
    const { userId } = this.#options
    const { conversationId } = thread
    const given = await cache?.answer({ ...asked, userId, conversationId, callId: this.#groupId })
    if (given === undefined) return undefined
    const { reply, text, callId, latencyMs } = given
    return {
      status: 'completed',
      isCached: true,
      model: reply.responseModel ?? asked.targets[0]?.model ?? '',
      message: reply.message && messageFrom(assistantMessageText(reply.message)),
      text,
      error: undefined,
      usage: { inputTokens: 0, outputTokens: 0 },
      latencyMs,
      callId,
      thread: await this.#sessions.follow(thread, given.conversationId),
    }
  }

  /** Asks one target as often as its policy says. Undefined when the next one is to be asked. */
  async #ask(target: Target, routeMode: RouteMode | undefined): Promise<Answer | undefined> {
    for (let retries = 0; ; retries++) {
      const passage = target.policy.breaker.enter()
      if (passage === undefined) return undefined
      const { answer, failure } = await this.#attempt(target, retries === 0 ? routeMode : 'retry', passage)
      if (failure === undefined || answer.text !== '') return answer
      this.#last = { answer, failure }
      const verdict = verdictOn(failure)
      if (verdict === 'tell') return answer
      if (verdict === 'next' || retries >= target.policy.retries) return undefined
      if (!(await this.#wait(target, failure, retries))) return undefined
    }
  }

  async #attempt(
    target: Target,
    routeMode: RouteMode | undefined,
    passage: Passage,
  ): Promise<{ answer: Answer; failure: AttemptFailure | undefined }> {
    const { stele, userId, replyLimit } = this.#options
    const { request: asking, thread, signal, onText, cache } = this.#asking
    const { recorder } = stele
    try {
      const request = (await asking.forTarget?.(target)) ?? asking
      const call = await recorder.begin({
        callId: ++this.#count === 1 ? this.#groupId : newId('call'),
        isNew: true,
        groupId: this.#groupId,
        routeMode,
        userId,
        provider: target.provider.name,
        requestModel: target.model,
        body: request.body,
        sent: request.recording?.sent,
        sentText: request.recording?.sentText,
        conversationId: thread.conversationId,
      })
      const asked = await askProvider({ target, request, userId, signal, replyLimit, onText })
      const end = await inKeptForm(asked, request)
      const settled = await recorder.settle(call, end.outcome, { once: true })
      if (end.outcome.status === 'completed')
        cache?.completed({ callId: call.callId, target, request, outcome: asked.outcome, kept: end.outcome })
      const placed = await this.#sessions.follow(thread, settled.conversationId)
      const failure =
        end.error === undefined
          ? undefined
          : { callId: call.callId, error: end.error, isTold: end.text !== '', answer: end.answer }
      if (failure === undefined || (!isFromThisSide(failure) && !isOutage(failure))) passage.answered()
      else if (isFromThisSide(failure)) passage.abandoned()
      else passage.failed()
      return { answer: answerFrom(end, call, target, placed), failure }
    } catch (error) {
      passage.abandoned()
      throw error
    }
  }

  /** Waits before a retry. False when there is to be none. */
  async #wait(target: Target, { answer }: AttemptFailure, retries: number): Promise<boolean> {
    const { timing, retryBudget } = this.#options.providers
    const { signal } = this.#asking
    const asked = answer && retryAfter(answer.headers)
    if (target.policy.breaker.blockedFor > 0) return false
    if (asked !== undefined && asked > target.policy.maxRetryAfter) return false
    const delay = backoff(retries, asked, timing.random())
    if (timing.now() - this.#startedAt + delay > retryBudget) return false
    await timing.wait(delay, signal)
    return !signal.aborted
  }
}

function answerFrom(
  { outcome, reply, text, error, latencyMs }: ProviderEnd,
  call: BegunCall | undefined,
  target: Target | undefined,
  thread: Thread,
): Answer {
  const isKept = outcome.status !== 'failed' && reply.message !== undefined
  return {
    status: outcome.status,
    model: reply.responseModel ?? target?.model ?? '',
    message: isKept && reply.message ? messageFrom(assistantMessageText(reply.message)) : undefined,
    text,
    error,
    usage: reply.usage,
    latencyMs,
    callId: call?.callId,
    thread,
  }
}
