import type { Continuation, PreparedRequest } from './prepared-request.ts'
import type { AssistantMessage, Reply } from './reply.ts'

/**
 * What made a call one of a group: its target was asked again, or another one instead, or several were asked the same at
 * once to compare their replies; or a reply that was no good was to be put right, or a call on record was made again.
 */
export type RouteMode = (typeof routeModes)[number]

export const routeModes = ['retry', 'fallback', 'compare', 'repair', 'replay'] as const

export type CallStatus = 'completed' | 'failed' | 'aborted' | 'orphaned' | 'cached'

/** What a client's `Idempotency-Key` asks for: that no other call is made under it until it expires. */
export interface IdempotencyClaim {
  readonly keyHash: string
  /** Of the request that the key stands for. */
  readonly requestHash: string
  /** Milliseconds since 1970, UTC. */
  readonly expiresAt: number
}

/** A response of the Responses API as it begins: written with the intent of its first call. */
export interface ResponseStart {
  readonly id: string
  readonly previousResponseId: string | undefined
  /** Its input items and itself as it stands at the beginning, as JSON texts. */
  readonly input: string
  readonly body: string
  readonly metadata: string | undefined
}

/** How a response ended: written with the end of its last call, or after it. */
export interface ResponseEnd {
  readonly id: string
  readonly status: string
  /** Its JSON text as its client gets it. */
  readonly body: string
}

/** The type of a document, in one of its versions. */
export interface DocumentKind {
  readonly type: string
  readonly version: string
}

/** A document as it begins: written with the intent of its first call. */
export interface DocumentStart {
  readonly id: string
  /** The document that it is made again from. */
  readonly previousId: string | undefined
  /** JSON text. */
  readonly input: string
}

/** How a document ended: written with the end of its last call, or after it. */
export interface DocumentEnd {
  readonly id: string
  /** `completed`, `failed`, or `invalid` when what came is none of its type. */
  readonly status: string
  /** JSON text; of one that is invalid what came in its place. */
  readonly output?: string | undefined
  readonly errorCode?: string | undefined
  readonly errorMessage?: string | undefined
}

/** What a client's `store: true` asks for: that the completion can be listed and looked up. */
export interface Listing {
  /** JSON text of an object of strings. */
  readonly metadata: string
}

/** What is recorded of a request that was sent compressed: enough to make the bytes again that its provider got. */
export interface SentRecord {
  /** The level, and the version of what it does, as `high/1`. */
  readonly compression: string
  /** JSON text of what the request alone does not tell; undefined when what was sent is not to be known. */
  readonly facts: string | undefined
}

/** What a call may take of what is limited, held back for it until it is settled. */
export interface Reservation {
  readonly tokens: number
  /** Undefined when the price is unknown. */
  readonly nanousd: number | undefined
}

/** The same as it is asked for. */
export interface AskedReservation extends Reservation {
  /** The input is not counted, only known not to be more than that: counting it takes longer. */
  readonly isBound: boolean
  /** The parameter that must say how much the reply may come to, where that is asked for and the request does not have it. */
  readonly missingBound: string | undefined
  /** The same of tools that are paid for, which take no tokens. */
  readonly missingToolBound: string | undefined
}

/** How much of one limit is left. */
export interface Remaining {
  readonly limit: number
  readonly remaining: number
  /** Milliseconds until it is whole again. */
  readonly resetsIn: number
}

/** Of the limits that apply to a call, those of requests and of tokens of which the least is left. */
export interface LimitStanding {
  readonly requests?: Remaining | undefined
  readonly tokens?: Remaining | undefined
}

/** A call as it stands before its provider is asked. */
export interface CallStart {
  readonly callId: string
  readonly userId: string
  readonly apiKeyId?: string | undefined
  readonly provider: string
  /** The model as the provider knows it. */
  readonly requestModel: string
  readonly operation: string
  readonly request: PreparedRequest
  /** Where it goes on, when that is known; then `request` holds only the messages that are new. */
  readonly continues?: Continuation | undefined
  /** The response that it is the first call of. */
  readonly response?: ResponseStart | undefined
  /** Of every call that a document is made by. */
  readonly documentKind?: DocumentKind | undefined
  /** The document that it is the first call of. */
  readonly document?: DocumentStart | undefined
  /** The conversation the client named, if any. */
  readonly conversationId?: string | undefined
  /** The process that makes the call: when it dies, another finds by this what it left open. */
  readonly instanceId: string
  /** Taken in the transaction that begins the call; refused, the call is not begun. */
  readonly claim?: IdempotencyClaim | undefined
  /** The first of the calls that are made for one request. */
  readonly groupId?: string | undefined
  readonly routeMode?: RouteMode | undefined
  /** Set when its completion is to be listed. */
  readonly listing?: Listing | undefined
  /** Set when its request is sent compressed. */
  readonly sent?: SentRecord | undefined
  /** What it may take, where limits may ask for that. */
  readonly reservation?: AskedReservation | undefined
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

/** A begun call: what settling it needs to know. */
export interface BegunCall {
  readonly callId: string
  readonly userId: string
  readonly apiKeyId?: string | undefined
  readonly provider: string
  readonly requestModel: string
  readonly operation: string
  /**
   * Undefined while the intent waits in the spool: only the database can tell which conversation it continues. '' when
   * it belongs to none.
   */
  readonly conversationId: string | undefined
  /** The sequence number of the last message the request sent. */
  readonly upToSeq: number
  readonly chainHash: string
  readonly wireHash: string
  /** Whether its reply must be findable by itself, because no other message of its conversation leads to it. */
  readonly anchorsReply: boolean
  /** False when nothing that is said may be kept. */
  readonly keepsContent: boolean
  /** Set when its completion is to be listed. */
  readonly listing?: Listing | undefined
  /** What is held back for it. */
  readonly reserved?: Reservation | undefined
  /** What is left of the limits that apply to it. */
  readonly limits?: LimitStanding | undefined
  readonly createdAt: number
}

/** A begun call whose place is known. A conversation '' is none: the call is no chat. */
export interface PlacedCall extends BegunCall {
  readonly conversationId: string
}

/** A call whose intent waits in the spool. */
export function unplacedCall(start: CallStart): BegunCall {
  const undecided = { conversationId: '', isKeptWhole: false, anchorsReply: false }
  return { ...begunCall(start, undecided), conversationId: undefined }
}

/** What beginning a call decides. */
export interface BeginDecision {
  readonly conversationId: string
  /** The request is stored as one text, not as parameters and messages. */
  readonly isKeptWhole: boolean
  readonly anchorsReply: boolean
  /** What is held back for the call; undefined when no limit asks for it. */
  readonly reserved?: Reservation | undefined
}

/** The sequence number of the last message that a call's request sent. */
export function upToSeqOf({ request, continues }: Pick<CallStart, 'request' | 'continues'>): number {
  return (continues?.seq ?? -1) + request.messages.length
}

/**
 * A call as it stands once it is begun. When its request is kept whole, the stored history need not be spelled as the
 * request was, so the reply must not be hashed as if it followed that spelling.
 */
export function begunCall(start: CallStart, decision: BeginDecision): PlacedCall {
  const { conversationId, isKeptWhole, anchorsReply, reserved } = decision
  const { callId, userId, apiKeyId, provider, requestModel, operation } = start
  const { createdAt, request, continues, listing } = start
  const last = request.messages.at(-1) ?? continues
  return {
    callId,
    userId,
    apiKeyId,
    provider,
    requestModel,
    operation,
    conversationId,
    upToSeq: upToSeqOf(start),
    chainHash: last?.chainHash ?? '',
    wireHash: isKeptWhole ? '' : (last?.wireHash ?? ''),
    anchorsReply,
    keepsContent: request.keepsContent,
    listing,
    reserved,
    createdAt,
  }
}

/** How an answer was found again: to the very same request, or to one that means the same. */
export type CacheHit = 'exact' | 'semantic'

/** What a call did not take because its answer was there already; undefined where the call that made it does not tell. */
export interface Saved {
  readonly hit: CacheHit
  readonly inputTokens: number | undefined
  readonly outputTokens: number | undefined
  /** Nano-US-dollars. */
  readonly nanousd: number | undefined
}

/** How a call ended. */
export interface Outcome {
  readonly status: CallStatus
  readonly httpStatus?: number | undefined
  readonly contentType?: string | undefined
  /** Exactly what the provider sent: text of a JSON reply, or bytes. */
  readonly body?: string | Uint8Array | undefined
  /** What `body` says. Left out, it is read from a JSON `body`. */
  readonly reply?: Reply | undefined
  /** True when the reply is not to be in the conversation that its request is in. */
  readonly isApart?: boolean | undefined
  /** The reply's message as its client has it and will send it back, when what is kept of it is another text. */
  readonly said?: AssistantMessage | undefined
  /** False when its provider was not asked, so that there is nothing to pay for. */
  readonly isAsked?: boolean | undefined
  /** Nano-US-dollars, where somebody else knows; left out, it is computed from the usage and the price. */
  readonly costNanousd?: number | undefined
  readonly latencyMs?: number | undefined
  readonly timeToFirstChunkMs?: number | undefined
  readonly errorCode?: string | undefined
  readonly errorMessage?: string | undefined
  /** What has come of the response that it is a call of, when nothing more will. */
  readonly response?: ResponseEnd | undefined
  /** The same of a document. */
  readonly document?: DocumentEnd | undefined
  /** Of a call that is `cached`. */
  readonly saved?: Saved | undefined
  /** What was masked of its request and its reply. */
  readonly masked?: Masked | undefined
  /** Milliseconds since 1970, UTC; now when left out. */
  readonly createdAt?: number | undefined
}

/** What was masked, without a word of it: how many different values of each kind, and for whom. */
export interface Masked {
  readonly kinds: Readonly<Record<string, number>>
  readonly in: readonly ('provider' | 'storage')[]
}

/** A settled call. */
export interface SettledCall {
  readonly callId: string
  /**
   * Where the reply is: differs from the begun conversation when another reply took its place first. Undefined while
   * it waits in the spool for a place, and of a call that belongs to no conversation.
   */
  readonly conversationId: string | undefined
  /** True when the call had been settled before and nothing was written now. */
  readonly isRepeat: boolean
  /** What it cost by the settlement given, in nano-US-dollars; undefined when that is unknown. */
  readonly costNanousd?: number | undefined
}

/** A call that was recorded whole, and what is left of the limits that apply to it. */
export type RecordedCall = SettledCall & Pick<BegunCall, 'limits'>

/** Calls that were settled in one transaction. */
export interface SettledTogether extends Pick<SettledCall, 'conversationId' | 'isRepeat'> {
  /** What each of them cost, in nano-US-dollars, by its id; undefined when that is unknown. */
  readonly costs: ReadonlyMap<string, number | undefined>
}
