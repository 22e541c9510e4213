import { pino } from 'pino'
import type { Config } from '../config.ts'
import { SteleError } from '../errors.ts'
import { cachePolicy } from '../gateway/caching/cache-policy.ts'
import { QuestionCache } from '../gateway/caching/question-cache.ts'
import { CollectingClient } from '../gateway/collecting-client.ts'
import { aloneState } from '../gateway/documents/generator.ts'
import type { GatewayRequest } from '../gateway/gateway-request.ts'
import type { Masking } from '../gateway/masking/masking.ts'
import type { Reply } from '../model/reply.ts'
import type { ProviderRegistry, Target } from '../providers/registry.ts'
import type { Stele } from '../stele.ts'
import { contentModeOf } from '../store/content-mode.ts'
import { promptly } from '../store/contents.ts'
import { ReplyReader } from './reply-reader.ts'

/** What is asked in a chat. */
export interface CacheableQuestion {
  readonly callId: string
  readonly request: GatewayRequest
  readonly targets: readonly Target[]
  readonly userId: string
  readonly conversationId: string | undefined
  readonly signal: AbortSignal
  readonly onText: (text: string) => void
}

/** An answer that was there already. It is on record. */
export interface GivenAnswer {
  readonly reply: Reply
  readonly text: string
  readonly callId: string | undefined
  readonly conversationId: string | undefined
  readonly latencyMs: number
}

/** The cache for one question of a chat: looks for an answer first, keeps the one that is made. */
export interface ChatCache extends Pick<QuestionCache, 'completed' | 'release'> {
  /** @throws SteleError when what was found cannot be recorded */
  answer(question: CacheableQuestion): Promise<GivenAnswer | undefined>
}

/** Says of a user's question whether an answer that is there may do; undefined when none may. */
export type ChatCaching = (userId: string, masking: Masking | undefined) => Promise<ChatCache | undefined>

/** Caches as the configuration says: nobody else has a say in a chat straight on a store. */
export function storeCaching(stele: Stele, providers: ProviderRegistry, config: Config): ChatCaching {
  const parts = { stele, providers, state: aloneState(), settings: config }
  const reading = promptly(stele.database)
  return async (userId, masking) => {
    const policy = cachePolicy({}, undefined, config)
    if (policy === undefined || stele.recorder.spool?.isSpooling === true) return undefined
    // Whoever cannot be told how it is kept has nothing cached; that the database is away is told by what follows.
    const contentMode = await contentModeOf(reading, userId, undefined).catch(() => 'hashed' as const)
    if (contentMode === 'hashed') return undefined
    const cache = new QuestionCache(parts, { policy, contentMode, masking })
    return {
      answer: question => given(cache, question),
      completed: answered => cache.completed(answered),
      release: () => cache.release(),
    }
  }
}

const silent = pino({ level: 'silent' })

/** Takes the events of a stream that comes at once. */
class EventTaker extends CollectingClient {
  events: string | Buffer = ''

  override endStream(bytes: string | Buffer): void {
    this.events = bytes
  }
}

async function given(
  cache: QuestionCache,
  { signal, onText, ...asked }: CacheableQuestion,
): Promise<GivenAnswer | undefined> {
  const startedAt = performance.now()
  const abort = new AbortController()
  const stop = (): void => abort.abort(new SteleError('client_closed_request'))
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop)
  let conversationId: string | undefined
  const header = (name: string, value: string): void => {
    if (name === 'x-stele-conversation') conversationId = value
  }
  const client = new EventTaker({ abort, log: silent, header })
  try {
    if (!(await cache.answer({ ...asked, apiKeyId: undefined, claim: undefined }, client))) return undefined
  } finally {
    signal.removeEventListener('abort', stop)
  }
  const reader = new ReplyReader({ onText, failure: reason => new Error(reason) })
  reader.push(Buffer.from(client.events))
  reader.end()
  const latencyMs = performance.now() - startedAt
  return {
    reply: reader.streamed.reply(),
    text: reader.text,
    callId: client.callId,
    conversationId,
    latencyMs,
  }
}
