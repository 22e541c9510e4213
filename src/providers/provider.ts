import type { ChatRequest } from '../model/chat-request.ts'

/** A chat completion to be made. */
export interface ProviderRequest {
  readonly userId: string
  /** The model as this provider knows it. */
  readonly model: string
  readonly request: ChatRequest
  /** Aborted when nobody waits for the reply any more. */
  readonly signal: AbortSignal
}

/** What OpenAI's API offers beside chat completions and Stele passes on as it came: the last part of its path. */
export type ForwardedOperation = 'embeddings' | 'moderations' | 'completions' | 'responses'

/** Such a request. */
export interface ForwardedRequest {
  readonly operation: ForwardedOperation
  readonly userId: string
  /** JSON, with the model in it as this provider knows it. */
  readonly body: string
  /** Aborted when nobody waits for the reply any more. */
  readonly signal: AbortSignal
}

/** A provider's reply before anything is made of it. The body must be read to its end or aborted. */
export interface ProviderResponse {
  readonly status: number
  readonly contentType: string
  /** Headers worth passing on, in lower case: rate limits, request ids. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: ProviderBody
}

export interface ProviderBody extends AsyncIterable<Uint8Array> {
  /**
   * Hands over every chunk as it comes and resolves at the end: for who only collects, at a fraction of what iterating
   * costs. What `take` throws ends the reading.
   */
  forEach(take: (chunk: Uint8Array) => void): Promise<void>
}

export interface Model {
  readonly id: string
  /** Seconds since 1970, as OpenAI lists it. */
  readonly created: number
  readonly ownedBy: string
}

/**
 * Something that answers chat completions. Failures to answer are raised as SteleErrors (provider_unreachable,
 * provider_timeout, …); whatever was answered, an error too, is a response.
 */
export interface Provider {
  readonly name: string
  /** False when it does not understand being asked for the usage at the end of a stream. */
  readonly asksUsage?: boolean
  /** What it answers is read from what is stored of the user. */
  readonly answersFromRecord?: boolean
  /** Where it is reached, when that is not within this process. */
  readonly address?: { readonly host: string; readonly port: number }
  chat(request: ProviderRequest): Promise<ProviderResponse>
  /** Of other operations, those that it has; left out when it has none. */
  readonly forwards?: ReadonlySet<ForwardedOperation>
  /** To be asked only for what `forwards` names. */
  forward?(request: ForwardedRequest): Promise<ProviderResponse>
  models(signal: AbortSignal): Promise<Model[]>
  close(): Promise<void>
}

/** Whether a content type is that of server-sent events. */
export function isEventStream(contentType: string): boolean {
  return /^text\/event-stream\b/i.test(contentType)
}

/** A body that is there already, in one piece or several. */
export function readyBody(pieces: readonly (string | Uint8Array)[]): ProviderBody {
  const chunks = pieces.map(piece => (typeof piece === 'string' ? Buffer.from(piece) : piece))
  return {
    forEach: async take => chunks.forEach(chunk => void take(chunk)),
    async *[Symbol.asyncIterator]() {
      yield* chunks
    },
  }
}
