import { Pool } from 'undici'
import { reasonOf, SteleError } from '../errors.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { assistantMessageText, isFields, type Reply } from '../model/reply.ts'
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
} from './backend.ts'
import { type DayDimension, type DayUsage, dayRows, dayUsageFrom } from './day-usage.ts'
import { GatewayComparison } from './gateway-comparison.ts'
import {
  asksUsage,
  asText,
  codeOf,
  type GatewayReply,
  type PostOptions,
  placedIn,
  readingTimeout,
  threadHeader,
} from './gateway-replies.ts'
import { messageFrom, requestBody } from './message.ts'
import { ReplyReader } from './reply-reader.ts'

export interface GatewayBackendOptions {
  /** Where it listens: https://host:port, with or without the /v1 of OpenAI's clients. */
  readonly url: string
  readonly key: string | undefined
  /** Whom to act for; the key's own user when left out. */
  readonly userId: string | undefined
}

type Fields = Readonly<Record<string, unknown>>

/** Seconds for which a gateway may say nothing. */
const silence = 300

/** A chat over a gateway, which does the recording. */
export class GatewayBackend implements ChatBackend {
  readonly place: string
  readonly userId: string | undefined
  /** Whose key it is, once the gateway has told. */
  #keyUser: string | undefined
  /** Conversations that have a name. */
  readonly #named = new Set<string>()
  readonly #pool: Pool
  readonly #path: string
  readonly #headers: Readonly<Record<string, string>>

  constructor({ url, key, userId }: GatewayBackendOptions) {
    const { origin, pathname } = new URL(url)
    this.#path = pathname.replace(/\/(v1\/?)?$/, '')
    this.place = origin + this.#path
    this.userId = userId
    this.#pool = new Pool(origin, { headersTimeout: silence * 1000, bodyTimeout: silence * 1000 })
    this.#headers = {
      'content-type': 'application/json',
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(userId === undefined ? {} : { 'x-stele-user': Buffer.from(userId).toString('latin1') }),
    }
  }

  async models(): Promise<readonly string[]> {
    const { data } = await this.#get('/v1/models')
    return Array.isArray(data)
      ? data.filter(isFields).flatMap(({ id }) => (typeof id === 'string' ? [id] : []))
      : []
  }

  async lastModel(): Promise<undefined> {
    return undefined
  }

  /** The gateway tells. */
  requireModels(): void {}

  async start(): Promise<Thread> {
    return nowhere
  }

  /** It is told of no conversation: what it is sent then begins one. */
  async startOver(): Promise<Thread> {
    return nowhere
  }

  async ask(question: Question, model: string, onText: (text: string) => void): Promise<Answer> {
    const answer = await this.#ask(question, model, onText)
    await this.#name(answer.thread)
    return answer
  }

  async #ask(question: Question, model: string, onText: (text: string) => void): Promise<Answer> {
    const startedAt = performance.now()
    const reader = new ReplyReader({
      onText,
      failure: (reason, reported) => this.#refusal(200, reported) ?? this.#unreachable(reason),
    })
    let heads: Readonly<Record<string, unknown>> = {}
    const answer = (status: Answer['status'], error?: SteleError): Answer => {
      const reply: Reply = reader.streamed.reply()
      const { message, responseModel, usage } = reply
      const isKept = status === 'completed' || (status === 'aborted' && reader.text !== '')
      const conversationId = asText(heads['x-stele-conversation'])
      return {
        status,
        model: responseModel ?? model,
        message: isKept && message ? messageFrom(assistantMessageText(message)) : undefined,
        text: reader.text,
        error,
        usage,
        latencyMs: performance.now() - startedAt,
        callId: asText(heads['x-stele-call-id']),
        thread: placedIn(question.thread, conversationId),
      }
    }
    try {
      const { statusCode, headers, body } = await this.#post(
        '/v1/chat/completions',
        requestBody(model, question.messages, asksUsage),
        { headers: threadHeader(question.thread), signal: question.signal },
      )
      heads = headers
      if (statusCode !== 200) {
        const error = this.#refusal(statusCode, maybeJson(await body.text())) ?? this.#failed(statusCode)
        // A refusal without a call is none of the conversation's.
        if (statusCode < 500 && heads['x-stele-conversation'] === undefined) throw error
        return answer('failed', error)
      }
      for await (const chunk of body as AsyncIterable<Uint8Array>) reader.push(chunk)
      reader.end()
      return answer('completed')
    } catch (error) {
      if (question.signal.aborted) return answer('aborted', new SteleError('client_closed_request'))
      const known = error instanceof SteleError ? error : this.#unreachable(error)
      if (heads['x-stele-conversation'] === undefined) throw known
      return answer('failed', known)
    }
  }

  async compare(
    question: Question,
    models: readonly string[],
    onText: (index: number, text: string) => void,
  ): Promise<Comparison> {
    const reading = new GatewayComparison(
      {
        place: this.place,
        post: (path, body, options) => this.#post(path, body, options),
        refusal: (status, value) => this.#refusal(status, value) ?? this.#failed(status),
        unreachable: error => this.#unreachable(error),
      },
      { question, models, onText },
    )
    const answers = await reading.run()
    return {
      answers,
      choose: async index => {
        const thread = await reading.choose(index)
        await this.#name(thread)
        return thread
      },
    }
  }

  async sessions(limit: number): Promise<SessionSummary[]> {
    const { sessions } = await this.#sessions()
    const listed = Array.isArray(sessions) ? sessions.filter(isFields) : []
    return listed
      .slice(0, limit)
      .flatMap(({ session_id: id, last_accessed: last, title }) =>
        typeof id === 'string'
          ? [{ id, opening: asText(title), messages: undefined, lastUsedAt: asTime(last) }]
          : [],
      )
  }

  async open(id: string): Promise<OpenedSession> {
    const path = `/history/${encodeURIComponent(await this.#user())}/${encodeURIComponent(id)}`
    const { messages } = await this.#get(path, 'histories')
    const told = Array.isArray(messages) ? messages.filter(isFields) : []
    if (told.length === 0) throw new SteleError('conversation_not_found', { conversation: id })
    return {
      thread: { sessionId: id, conversationId: id.startsWith('conv_') ? id : undefined },
      context: told.map(({ role, content }) => messageFrom(JSON.stringify({ role, content }))),
      earlier: [],
      model: undefined,
    }
  }

  async search(words: string, limit: number): Promise<SearchHit[]> {
    const { data } = await this.#get(`/v1/search?query=${encodeURIComponent(words)}&limit=${limit}`, 'search')
    return Array.isArray(data) ? data.filter(isFields).map(hitFrom) : []
  }

  async totals(): Promise<undefined> {
    return undefined
  }

  async usageToday(by: DayDimension): Promise<DayUsage> {
    const today = new Date().toISOString().slice(0, 10)
    const query = new URLSearchParams({ by, since: today, until: today, limit: String(dayRows) })
    if (this.userId !== undefined) query.set('user', this.userId)
    return dayUsageFrom(await this.#get(`/v1/usage?${query}`, 'usage'), by)
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  /** Sessions are listed for the user that was named, or else for the key's own. */
  async #sessions(): Promise<Fields> {
    if (this.userId !== undefined)
      return this.#get(`/sessions/${encodeURIComponent(this.userId)}`, 'sessions')
    const listed = await this.#get('/sessions', 'sessions').catch(error => {
      throw error instanceof SteleError && error.code === 'usage' ? userIsMissing() : error
    })
    this.#keyUser = asText(listed['user_id'])
    if (this.#keyUser === undefined) throw userIsMissing()
    return listed
  }

  async #user(): Promise<string> {
    if (this.userId === undefined && this.#keyUser === undefined) await this.#sessions()
    return this.userId ?? this.#keyUser ?? ''
  }

  /** Names a conversation by its id, so that it is found among the sessions. Where that fails the next reply tries again. */
  async #name({ sessionId, conversationId }: Thread): Promise<void> {
    if (conversationId === undefined || sessionId !== conversationId || this.#named.has(conversationId))
      return
    const named = JSON.stringify({ session_id: sessionId })
    const { statusCode, body } = await this.#post(`/v1/conversations/${conversationId}`, named, {
      timeout: readingTimeout,
    }).catch(() => ({ statusCode: 0, body: undefined }))
    await body?.dump().catch(() => undefined)
    if (statusCode === 200) this.#named.add(conversationId)
  }

  #post(path: string, body: string, { headers, signal, timeout }: PostOptions = {}): Promise<GatewayReply> {
    return this.#pool.request({
      method: 'POST',
      path: this.#path + path,
      headers: { ...this.#headers, ...headers },
      body,
      ...(signal === undefined ? {} : { signal }),
      ...(timeout === undefined ? {} : { headersTimeout: timeout, bodyTimeout: timeout }),
    })
  }

  /** @param what that the gateway may be too old to have */
  async #get(path: string, what?: string): Promise<Fields> {
    const { statusCode, body } = await this.#pool
      .request({
        method: 'GET',
        path: this.#path + path,
        headers: this.#headers,
        headersTimeout: readingTimeout,
        bodyTimeout: readingTimeout,
      })
      .catch(error => Promise.reject(this.#unreachable(error)))
    const value = maybeJson(await body.text())
    if (statusCode === 200 && isFields(value)) return value
    const isMissing = statusCode === 404 && codeOf(value) === 'route_not_found'
    if (isMissing && what !== undefined)
      throw new SteleError('usage', { reason: `The gateway at ${this.place} has no ${what}.` })
    throw this.#refusal(statusCode, value) ?? this.#failed(statusCode)
  }

  #refusal(status: number, value: unknown): SteleError | undefined {
    const error = isFields(value) && isFields(value['error']) ? value['error'] : undefined
    const { message } = error ?? {}
    if (typeof message !== 'string') return undefined
    return new SteleError('gateway_error', { gateway: this.place, status, reason: message })
  }

  #failed(status: number): SteleError {
    return new SteleError('gateway_error', { gateway: this.place, status, reason: 'it gives no reason' })
  }

  #unreachable(error: unknown): SteleError {
    const code = (error as { code?: unknown } | null)?.code
    const reason = typeof code === 'string' ? code : reasonOf(error)
    return new SteleError('gateway_unreachable', { gateway: this.place, reason }, { cause: error })
  }
}

function userIsMissing(): SteleError {
  return new SteleError('usage', {
    reason: 'To find conversations over this gateway name their user: --user ID',
  })
}

function hitFrom(hit: Fields): SearchHit {
  const snippet = isFields(hit['snippet']) ? hit['snippet'] : {}
  const ranges = Array.isArray(snippet['ranges']) ? snippet['ranges'] : []
  return {
    conversationId: asText(hit['conversation_id']) ?? '',
    seq: typeof hit['seq'] === 'number' ? hit['seq'] : 0,
    role: asText(hit['role']) ?? '',
    text: asText(snippet['text']) ?? '',
    ranges: ranges.filter(Array.isArray).map(([from, to]): [number, number] => [Number(from), Number(to)]),
  }
}

function asTime(value: unknown): number | undefined {
  const time = typeof value === 'number' ? value : Date.parse(String(value))
  return Number.isNaN(time) ? undefined : time
}
