import type {
  DocumentKind,
  DocumentStart,
  IdempotencyClaim,
  ResponseStart,
  RouteMode,
  SentRecord,
} from '../model/call.ts'
import type { Continuation } from '../model/prepared-request.ts'
import { type RequestBody, readRequest } from '../model/recorded-request.ts'
import type { AskedRequest } from '../pricing/accounting.ts'
import { countedText } from '../pricing/tokens.ts'

/** A call about to be made. */
export interface BeginInput {
  /** Whoever the application says the user is. */
  readonly userId: string
  readonly provider: string
  /** The request as sent: chat-completions JSON (or what `operation` takes), or already read. */
  readonly body: RequestBody
  /** The model as the provider knows it; the body's own when left out. */
  readonly requestModel?: string | undefined
  /** Makes begin idempotent: the same id again returns the call already begun. */
  readonly callId?: string | undefined
  /** Refuses that instead: whoever asks a provider under the id of a call that has ended cannot record its answer. */
  readonly isNew?: boolean | undefined
  readonly apiKeyId?: string | undefined
  readonly conversationId?: string | undefined
  /** The recorded message that it goes on from, instead of a look at what it says. */
  readonly continues?: Continuation | undefined
  /** The response that it is the first call of: recorded with it. */
  readonly response?: ResponseStart | undefined
  /** The type of the document that it is made for. */
  readonly documentKind?: DocumentKind | undefined
  /** The document that it is the first call of: recorded with it. */
  readonly document?: DocumentStart | undefined
  /** A key under which no other call may be made; see `begin`. */
  readonly claim?: IdempotencyClaim | undefined
  /**
   * 'chat' when left out. A call of 'embeddings', 'moderations' or 'completions' has such a request for its body and
   * belongs to no conversation.
   */
  readonly operation?: string | undefined
  /** What is sent in the place of `body`, when that was compressed. */
  readonly sent?: SentRecord | undefined
  /** Its JSON text, by which the call is counted where its provider does not say what it took; not recorded. */
  readonly sentText?: string | undefined
  /** The first of the calls that are made for one request: itself, or an earlier one with the same messages. */
  readonly groupId?: string | undefined
  /** Set on every further call of a group: its messages are those of the first and are not recorded again. */
  readonly routeMode?: RouteMode | undefined
  /** Milliseconds since 1970; now when left out. */
  readonly createdAt?: number | undefined
}

/** What a provider is asked in a call: what is sent to it, where that is not what is recorded. */
export function askedIn({ body, operation, sentText }: Partial<BeginInput>): AskedRequest {
  return () => (sentText === undefined ? readRequest(body ?? '', operation) : countedText(sentText))
}
