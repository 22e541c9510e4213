import type { ColumnName, Row, TableName } from '../db/tables.ts'
import type { ErrorCode } from '../errors.ts'
import type { AskedWith } from '../model/asked-with.ts'
import type {
  BeginDecision,
  BegunCall,
  CallStart,
  DocumentEnd,
  IdempotencyClaim,
  LimitStanding,
  Masked,
  PlacedCall,
  Saved,
} from '../model/call.ts'
import type { Account } from '../model/usage.ts'
import type { StepKind, StepOperation, Steps } from './step-operations.ts'

/** What is written when a call ends. Plain data: it crosses to the writer thread. */
export interface Settlement extends Account {
  readonly status: string
  readonly httpStatus: number | undefined
  readonly contentType: string | undefined
  /** The reply: text still to be encoded, or bytes in their stored form. */
  readonly body: string | Uint8Array | undefined
  /** Of the exact reply; undefined when there is none or it is not kept. */
  readonly bodyDigest?: string | undefined
  /** Where the message's content was cut out of `body`. */
  readonly contentAt: number | undefined
  /** The reply's message as JSON text, and its normal form, when it has one. '' when it is not kept. */
  readonly message: string | undefined
  readonly canonicalMessage: string | undefined
  /** The chain hash of a message that is not kept, or not in the words that were said. */
  readonly messageHash?: string | undefined
  readonly responseModel: string | undefined
  readonly providerResponseId: string | undefined
  readonly finishReasons: readonly string[]
  readonly saved?: Saved | undefined
  readonly masked?: Masked | undefined
  readonly latencyMs: number | undefined
  readonly timeToFirstChunkMs: number | undefined
  readonly errorCode: string | undefined
  readonly errorMessage: string | undefined
  /** What has come of the response that the call is one of; its body in its stored form. */
  readonly response?: { readonly id: string; readonly status: string; readonly body: Uint8Array } | undefined
  /** The same of a document. */
  readonly document?: DocumentEnding | undefined
  readonly createdAt: number
}

/** How a document ended; its output in its stored form. */
export type DocumentEnding = Omit<DocumentEnd, 'output'> & { readonly output: Uint8Array | undefined }

export interface BeginOperation {
  readonly kind: 'begin'
  readonly start: CallStart
  readonly isDrained?: true
}

export interface SettleOperation {
  readonly kind: 'settle'
  readonly call: BegunCall
  readonly settlement: Settlement
  /** The caller has been told that it is on record: it comes out of the spool. */
  readonly isAcknowledged?: true
  /** Nobody keeps in mind that what it adds is to be indexed for search: it is applied from a spool. */
  readonly isDrained?: true
}

/** Both at once, for calls that were made elsewhere or that took nothing. */
export interface RecordOperation {
  readonly kind: 'record'
  readonly start: CallStart
  readonly settlement: Settlement
  /** Nobody was told anything of it yet: limits may refuse it. */
  readonly isAsked?: true
  readonly isAcknowledged?: true
  readonly isDrained?: true
}

/** Begins calls that are made at once for one request: all of them, or none. */
export interface BeginAllOperation {
  readonly kind: 'begin-all'
  readonly starts: readonly CallStart[]
}

/** Ends such calls: all of them, or none. */
export interface SettleAllOperation {
  readonly kind: 'settle-all'
  readonly endings: readonly { readonly call: PlacedCall; readonly settlement: Settlement }[]
  readonly isAcknowledged?: true
  readonly isDrained?: true
}

/** Takes one reply of a comparison whose calls have ended into their conversation, or none: once, and for good. */
export interface ChooseOperation {
  readonly kind: 'choose'
  readonly userId: string
  /** The first of its calls. */
  readonly groupId: string
  /** Who chooses, as audit events name it. */
  readonly actor: string
  /** Left out when none is taken. */
  readonly chosen?: ChosenReply | undefined
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

/** The reply that is taken. */
export interface ChosenReply {
  readonly callId: string
  /** The key that its call was made with. */
  readonly apiKeyId: string | undefined
  /** Its message as JSON text; '' when it is not kept, undefined when there is none. */
  readonly message: string | undefined
  /** The normal form of what its client was told; undefined when nobody knows that any more. */
  readonly canonical: string | undefined
  /** When the call was begun. */
  readonly createdAt: number
}

/** Tells other processes that this one lives, and since which call it may have some under way. */
export interface HeartbeatOperation {
  readonly kind: 'heartbeat'
  readonly instance: Row<'instances'>
  readonly usedKeys: readonly { readonly id: string; readonly at: number }[]
  /** Said for a process that is gone: a row that is there says more. */
  readonly onlyIfAbsent?: true
}

/** A change of a response outside the calls made for it. A response that has ended does not end again. */
export interface RespondOperation {
  readonly kind: 'respond'
  readonly userId: string
  readonly id: string
  readonly change:
    | { readonly kind: 'end'; readonly status: string; readonly body: Uint8Array }
    /** Whoever makes its calls is to stop. */
    | { readonly kind: 'cancel' }
    | ({ readonly kind: 'delete'; readonly at: number } & AskedWith)
}

/** A change of a document outside the calls made for it. One that has ended does not end again. */
export interface DocumentOperation {
  readonly kind: 'document'
  readonly userId: string
  readonly id: string
  /** Deleted, nothing is left of it but that it was. */
  readonly change:
    | { readonly kind: 'end'; readonly end: DocumentEnding }
    | ({ readonly kind: 'delete' } & AskedWith)
  /** Milliseconds since 1970, UTC. */
  readonly at: number
}

/** A message that an application adds by itself, in no call. */
export interface AppendedMessage {
  readonly id: string
  readonly role: string
  /** Its JSON text, as it is stored. */
  readonly raw: string
  readonly canonical: string
  readonly model: string | undefined
  readonly intent: string | undefined
  readonly costNanousd: number | undefined
  /** JSON text. */
  readonly metadata: string | undefined
  /** The items that it stands for as JSON text, where the message itself does not tell. */
  readonly items?: string | undefined
  readonly createdAt: number
}

/** Adds messages to the end of a conversation, which may be made with them. */
export interface AppendOperation {
  readonly kind: 'append'
  readonly userId: string
  readonly conversationId: string
  /** The conversation to make; left out, there must be one. */
  readonly creation?: Row<'conversations'> | undefined
  /** The seq that the first of the messages must get. */
  readonly expectedSeq?: number | undefined
  readonly messages: readonly AppendedMessage[]
  /** An idempotency key that stands for the conversation that is made, or for the first of the messages. */
  readonly claim?: IdempotencyClaim | undefined
  /** The API key with which they are said. */
  readonly apiKeyId?: string | undefined
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
  /** It was applied before and may have been committed. */
  readonly isRepeat?: true
}

type Fields<T extends TableName, C extends ColumnName<T>> = Partial<Pick<Row<T>, C>>

/** A change of what is on record, beside the calls; each names its user. */
export type Edit = {
  readonly userId: string
  readonly at: number
  /** The API key with which it is asked for. */
  readonly apiKeyId?: string | undefined
} & (
  | {
      readonly action: 'update-conversation'
      readonly id: string
      readonly set: Fields<
        'conversations',
        'title' | 'intent' | 'status' | 'metadata' | 'preferences' | 'session_id'
      >
    }
  | { readonly action: 'delete-conversation'; readonly id: string }
  | { readonly action: 'restore-conversation'; readonly id: string }
  | { readonly action: 'purge-conversation'; readonly id: string }
  | { readonly action: 'restart-conversation'; readonly id: string; readonly row: Row<'conversations'> }
  | {
      readonly action: 'update-message'
      readonly place: MessagePlace
      readonly set: Fields<'messages', 'intent' | 'metadata' | 'deleted_at'>
    }
  | {
      readonly action: 'delete-item'
      readonly place: MessagePlace
      readonly itemId: string
      /** All items of the message as JSON text: what counts when nothing is on record of them yet. */
      readonly items: string
    }
  | { readonly action: 'create-snapshot'; readonly row: Row<'context_snapshots'> }
  | { readonly action: 'delete-snapshot'; readonly id: string }
  /** Makes all that the user has said unreadable, in every copy of the database. */
  | { readonly action: 'destroy-keys' }
  /** Puts a new data key in the place of the user's; and destroys old ones, when nothing is sealed with them any more. */
  | { readonly action: 'retire-key' }
  | { readonly action: 'destroy-retired'; readonly keyIds: readonly string[] }
  | {
      readonly action: 'update-user'
      readonly set: Fields<'users', 'email' | 'username' | 'preferences' | 'content_mode'>
    }
)

/** Where a message's row is: with the conversation that has it as its own. */
export interface MessagePlace {
  readonly conversationId: string
  readonly seq: number
  readonly id: string
}

export interface EditOperation {
  readonly kind: 'edit'
  readonly edit: Edit
  /** It was applied before and may have been committed. */
  readonly isRepeat?: true
}

/** Changes what a stored completion is listed with, or takes it off the list. */
export interface RelistOperation {
  readonly kind: 'relist'
  readonly userId: string
  /** Of the completion, and of its call. */
  readonly id: string
  readonly callId: string
  readonly change: { readonly metadata: string } | { readonly deletedAt: number }
  /** The API key with which it is asked for. */
  readonly apiKeyId?: string | undefined
}

/** Seals the content of some rows of a user anew, with the current key. */
export interface ResealOperation {
  readonly kind: 'reseal'
  readonly userId: string
  readonly table: TableName
  /** The primary keys of the rows. */
  readonly keys: readonly Readonly<Record<string, string | number>>[]
}

/** Puts messages that wait for it into the search index. Repeating it takes the next. */
export interface IndexOperation {
  readonly kind: 'index'
  /** Only this user's. */
  readonly userId?: string | undefined
  /** Messages at most. */
  readonly limit: number
  /** Conversations in which there may be new ones, beside those that are queued. */
  readonly conversations?: readonly ConversationPlace[]
}

/** Which conversation of whom. */
export interface ConversationPlace {
  readonly userId: string
  readonly conversationId: string
}

/** Queues conversations for the search index that this process has kept in mind so far. */
export interface PostponeOperation {
  readonly kind: 'postpone'
  readonly conversations: readonly ConversationPlace[]
}

/** What an application changes or chooses, or what becomes of a response or a document outside its calls. */
export type ChangeOperation =
  | AppendOperation
  | EditOperation
  | ChooseOperation
  | RespondOperation
  | DocumentOperation
  | ResealOperation

export type Operation =
  | StepOperation
  | BeginOperation
  | SettleOperation
  | RecordOperation
  | BeginAllOperation
  | SettleAllOperation
  | HeartbeatOperation
  | IndexOperation
  | PostponeOperation
  | RelistOperation
  | ChangeOperation

/** The calls that an operation begins. */
export function startsOf(operation: Operation): readonly CallStart[] {
  if ('start' in operation) return [operation.start]
  return operation.kind === 'begin-all' ? operation.starts : []
}

/** An operation that is applied once more because nobody knows whether it was committed. */
export function repeated(operation: Operation): Operation {
  return operation.kind === 'append' || operation.kind === 'edit'
    ? { ...operation, isRepeat: true }
    : operation
}

/** What the caller does not know yet; little, because it crosses threads. Where the call's messages are. */
export interface OperationResult {
  readonly conversationId: string | undefined
  /** True when the operation had been applied before and nothing was written now. */
  readonly isRepeat: boolean
  /**
   * Of a repeat: true when what is on record may be of this very operation, which is applied again whenever nobody knows
   * whether it was committed; false when it is of another one.
   */
  readonly isOwn?: boolean
  /** Of an append: where its first message is. */
  readonly seq?: number
  /** Of an append that was made now: the `updatedAt` of the conversation right before it and right after it. */
  readonly updatedAt?: { readonly before: number; readonly after: number }
  /** Of a begin: all that it decided. */
  readonly decision?: BeginDecision
  /** Of a begin: what is left of the limits that apply to it, and whether calls are to say what they may take. */
  readonly limits?: LimitStanding | undefined
  readonly reserves?: boolean
  /** Of a begin that was not made: how much it may take has to be said first. */
  readonly wants?: 'bound' | 'exact'
  /** The same of each that began with it. */
  readonly decisions?: readonly BeginDecision[]
  /** Of an index operation: whether nothing waits any more, and the conversations it was given of which something does. */
  readonly isIndexed?: boolean
  readonly left?: readonly ConversationPlace[]
  /** Of a step: what it did. */
  readonly step?: Steps[StepKind][1]
}

/** The outcome of one operation of a batch, in a form that crosses threads. */
export type Applied =
  | { readonly ok: true; readonly result: OperationResult }
  | { readonly ok: false; readonly error: AppliedError }

export interface AppliedError {
  /** A code of the error table. */
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, string | number>>
  /** The request parameter at fault. */
  readonly param?: string | undefined
  /** The database may have committed the operation all the same: it was asked and did not answer. */
  readonly mayBeCommitted?: boolean
}
