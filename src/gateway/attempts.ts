import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { IdempotencyClaim, Outcome, RouteMode } from '../model/call.ts'
import type { Passage } from '../providers/circuit-breaker.ts'
import type { ProviderRegistry, Target } from '../providers/registry.ts'
import { retryAfter } from '../providers/retry-after.ts'
import type { Stele } from '../stele.ts'
import type { ClientSettings, GatewayState } from './app.ts'
import { type AttemptFailure, verdictOn } from './attempt-failure.ts'
import { backoff } from './backoff.ts'
import { type Client, HttpClient } from './client.ts'
import { dispatch, through } from './dispatch.ts'
import type { GatewayRequest } from './gateway-request.ts'
import { standingHeaders } from './limit-headers.ts'
import { asKnown, LiveCall, watchedCall } from './live-call.ts'
import type { Rendition } from './rendition.ts'

export interface AttemptParts {
  readonly stele: Pick<Stele, 'recorder'>
  readonly providers: Pick<ProviderRegistry, 'retryBudget' | 'timing'>
  readonly state: GatewayState
  readonly settings: Pick<ClientSettings, 'replyLimit'>
}

/** What a client wants answered, and by whom. */
export interface Question {
  /** The id of the first call, and with it of the group of all of them. */
  readonly callId: string
  readonly request: GatewayRequest
  /** Asked in this order until one answers. */
  readonly targets: readonly Target[]
  readonly userId: string
  /** Undefined when it is asked for through the library. */
  readonly apiKeyId: string | undefined
  readonly conversationId: string | undefined
  /** Set when it goes on from a call that was made before, which its own are a group with. */
  readonly group?: { readonly id: string; readonly routeMode: RouteMode } | undefined
  /** Of the request's idempotency key; every attempt takes it over from the one before. */
  readonly claim: IdempotencyClaim | undefined
  /** Set when the answer to another call may do, or this one may be given to others. */
  readonly cached?: CachedAnswers | undefined
}

/** Answers that are there already, for one question. */
export interface CachedAnswers {
  /** Answers from them. False when there is none, and a provider is to be asked. @throws SteleError what the client is to be told */
  answer(question: Question, client: Client): Promise<boolean>
  /** Told how a call that a provider has answered ended, and what is kept of that. */
  completed(answered: AnsweredCall): void
  /** Nothing more will come of the question. */
  release(): void
}

export interface AnsweredCall {
  readonly callId: string
  readonly target: Target
  readonly request: GatewayRequest
  readonly outcome: Outcome
  readonly kept: Outcome
}

/**
 * Answers a request: asks its targets one after another, each as often as its policy says, until one answers or none is
 * left. Every attempt is a call of its own, begun before its provider is asked and settled before the next one begins.
 * @throws SteleError what the client is to be told; never once a stream has begun, which then tells it
 */
export async function answerQuestion(
  parts: AttemptParts,
  question: Question,
  reply: FastifyReply,
): Promise<FastifyReply> {
  await answerClient(parts, question, new HttpClient(reply))
  return reply
}

/** The same for whoever waits. */
export async function answerClient(parts: AttemptParts, question: Question, client: Client): Promise<void> {
  const { state } = parts
  state.underWay.add(client.abort)
  const attempts = new Attempts(parts, question, client)
  try {
    if (await question.cached?.answer(question, client)) return
    await attempts.run()
  } catch (error) {
    const known = asKnown(error)
    await attempts.giveUp(known)
    if (!client.isStreaming) throw error
    client.log.error({ callId: client.callId, code: known.code, err: error }, 'request failed')
    client.failStream(known, attempts.rendition)
  } finally {
    state.underWay.delete(client.abort)
    state.events.emit('ended')
    client.release()
    question.cached?.release()
  }
}

/** How asking one target went: the client has its answer, another target may be asked, or nobody else is. */
type Asked = 'answered' | 'given up' | 'over'

class Attempts {
  readonly #parts: AttemptParts
  readonly #question: Question
  readonly #client: Client
  readonly #log: FastifyBaseLogger
  readonly #startedAt: number
  #count = 0
  #isGivenUp = false
  /** Of the last call. */
  rendition: Rendition | undefined
  /** The failure to tell when no target answers, and whether it may pass. */
  #told: { readonly failure: AttemptFailure; readonly mayPass: boolean } | undefined

  constructor(parts: AttemptParts, question: Question, client: Client) {
    this.#parts = parts
    this.#question = question
    this.#client = client
    this.#log = client.log
    this.#startedAt = parts.providers.timing.now()
  }

  async run(): Promise<void> {
    for (const [index, target] of this.#question.targets.entries()) {
      const asked = await this.#ask(target, index === 0 ? this.#question.group?.routeMode : 'fallback')
      if (asked === 'answered') return
      if (asked === 'over' || !this.#mayGoOn) break
    }
    if (this.#told === undefined) throw this.#unavailable()
    const { failure } = this.#told
    await this.giveUp(failure.error, failure.answer?.value)
    this.#client.header('x-stele-call-id', failure.callId)
    this.#client.tell(failure, this.rendition)
  }

  /** Says of a request that has come to calls that there will be no more of them. Whatever fails here is not the client's. */
  async giveUp(error: SteleError, said?: unknown): Promise<void> {
    if (this.#count === 0 || this.#isGivenUp) return
    this.#isGivenUp = true
    await this.#question.request
      .givenUp?.(error, said)
      .catch(cause => this.#log.error({ err: cause }, 'what came of a response is not recorded'))
  }

  /** Asks one target until it answers or is given up. */
  async #ask(target: Target, routeMode: RouteMode | undefined): Promise<Asked> {
    for (let retries = 0; ; retries++) {
      const passage = target.policy.breaker.enter()
      if (passage === undefined) return 'given up'
      const failure = await this.#attempt(target, retries === 0 ? routeMode : 'retry', passage)
      if (failure === undefined || failure.isTold) return 'answered'
      const verdict = verdictOn(failure)
      const mayPass = verdict === 'retry'
      // "Try again later" is worth more to a client than what a later target has against Stele's key or model.
      if (verdict !== 'next' || this.#told?.mayPass !== true) this.#told = { failure, mayPass }
      if (verdict === 'tell') return 'over'
      if (!mayPass || retries >= target.policy.retries) return 'given up'
      if (!(await this.#waitToRetry(target, failure, retries))) return 'given up'
    }
  }

  /** Makes one call, and lets the breaker know how it went. */
  #attempt(
    target: Target,
    routeMode: RouteMode | undefined,
    passage: Passage,
  ): Promise<AttemptFailure | undefined> {
    return through(passage, { provider: target.provider.name, log: this.#log }, onAnswering =>
      this.#call(target, routeMode, onAnswering),
    )
  }

  /** One call from its intent to its settlement. Returns how it failed; undefined when the client has its answer. */
  async #call(
    target: Target,
    routeMode: RouteMode | undefined,
    onAnswering: () => void,
  ): Promise<AttemptFailure | undefined> {
    const { provider, model } = target
    const { userId, apiKeyId, conversationId, claim, callId, group } = this.#question
    const asked = this.#question.request
    const request = asked.forTarget === undefined ? asked : await asked.forTarget(target)
    const { replyLimit } = this.#parts.settings
    const { recorder } = this.#parts.stele
    const client = this.#client
    const attempt = ++this.#count
    const groupId = group?.id ?? callId
    const { response: started, document, ...recording } = request.recording ?? {}
    const begun = await recorder.begin({
      ...recording,
      response: attempt === 1 ? started : undefined,
      document: attempt === 1 ? document : undefined,
      callId: attempt === 1 ? callId : newId('call'),
      isNew: true,
      groupId,
      routeMode,
      userId,
      apiKeyId,
      provider: provider.name,
      requestModel: model,
      body: request.body,
      conversationId,
      claim,
    })
    client.header('x-stele-call-id', begun.callId)
    if (begun.conversationId) client.header('x-stele-conversation', begun.conversationId)
    if (attempt > 1) client.header('x-stele-attempts', String(attempt))
    for (const [name, value] of Object.entries(standingHeaders(begun.limits))) client.header(name, value)
    if (recording.sent) client.header('x-stele-compression', recording.sent.compression)

    const rendition = request.render?.()
    this.rendition = rendition
    const log = this.#log
    const call = new LiveCall(begun, {
      recorder,
      log,
      client,
      provider: provider.name,
      routeMode,
      rendition,
      watch: this.#parts.state.telemetry.watch(watchedCall(begun, { target, request, client })),
      forStorage: request.forStorage,
      onCompleted: (outcome, kept) =>
        this.#question.cached?.completed({ callId: begun.callId, target, request, outcome, kept }),
    })
    return dispatch(call, { request, target, userId, client, replyLimit, onAnswering })
  }

  /**
   * Waits before a retry. False when there is to be none: nobody waits for it any more, the provider asked for more time
   * than a client should be made to wait, or the budget is used up. The budget does not keep the next target from being
   * asked: each is asked at most as often as its policy says, and an answer that comes late is one.
   */
  async #waitToRetry({ policy }: Target, { answer }: AttemptFailure, retries: number): Promise<boolean> {
    const { timing, retryBudget } = this.#parts.providers
    const asked = answer && retryAfter(answer.headers)
    if (!this.#mayGoOn || policy.breaker.blockedFor > 0) return false
    if (asked !== undefined && asked > policy.maxRetryAfter) return false
    const delay = backoff(retries, asked, timing.random())
    if (timing.now() - this.#startedAt + delay > retryBudget) return false
    await timing.wait(delay, AbortSignal.any([this.#client.signal, this.#parts.state.stopping.signal]))
    return this.#mayGoOn
  }

  get #mayGoOn(): boolean {
    return !this.#client.signal.aborted && !this.#parts.state.isStopping
  }

  /** Of a model none of whose providers may be asked: when the first of them may. */
  #unavailable(): SteleError {
    const [soonest] = this.#question.targets.toSorted(
      (a, b) => a.policy.breaker.blockedFor - b.policy.breaker.blockedFor,
    )
    const seconds = Math.ceil((soonest?.policy.breaker.blockedFor ?? 0) / 1000)
    this.#client.header('retry-after', String(Math.max(1, seconds)))
    return new SteleError('provider_unavailable', { provider: soonest?.provider.name ?? '' })
  }
}
