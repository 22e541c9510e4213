import type { Kept } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { newId } from '../ids.ts'
import { type BeginDecision, begunCall, type CallStart, type PlacedCall, upToSeqOf } from '../model/call.ts'
import { assembleRequest, type PreparedMessage } from '../model/prepared-request.ts'
import { absentContent, encodeContent } from '../privacy/content.ts'
import { echoSeparator } from '../store/echo.ts'
import { newConversationRow, newMessageRow } from '../store/new-rows.ts'
import { firstTellingMessage, type Match } from './find-match.ts'

/** Where a call's messages go. */
export type Placement =
  /** A conversation of their own, or one that shares its beginning with another. */
  | { readonly kind: 'new'; readonly parent?: { readonly id: string; readonly seq: number } }
  /** Onto the end of this one. */
  | { readonly kind: 'append'; readonly conversationId: string }
  /** Nowhere: there are none. */
  | { readonly kind: 'apart' }
  /** Nowhere: an earlier attempt at the same request has put them there. */
  | { readonly kind: 'repeat'; readonly conversationId: string; readonly isEmptyFork: boolean }

export interface BeginRows {
  readonly call: PlacedCall
  readonly decision: BeginDecision
  readonly conversation: Row<'conversations'> | undefined
  readonly messages: (Row<'messages'> & Kept)[]
  readonly request: Row<'llm_requests'> & Kept
  readonly response: (Row<'responses'> & Kept) | undefined
}

/** The rows that begin a call: only messages that are not recorded yet, and the request without its messages. */
export function planBegin(start: CallStart, match: Match | undefined, placement: Placement): BeginRows {
  const { callId, userId, createdAt, request, apiKeyId: writtenWith } = start
  const conversationId = conversationOf(placement)
  const { keepsContent } = request
  const knownUpTo = match?.seq ?? -1
  const upToSeq = upToSeqOf(start)
  // The place of the first message that the request holds: of one that continues, only those after it.
  const firstSeq = upToSeq + 1 - request.messages.length
  const added = request.messages.slice(knownUpTo + 1 - firstSeq)
  const messages = added.map((message, offset): Row<'messages'> & Kept => {
    const isFirst = offset === 0
    const echo = isFirst && keepsContent ? echoOf(start, match) : undefined
    const row = newMessageRow({
      user_id: userId,
      conversation_id: conversationId,
      seq: knownUpTo + 1 + offset,
      id: newId('message'),
      role: message.role,
      content: keepsContent ? encodeContent(message.raw) : absentContent(),
      chain_hash: message.chainHash,
      is_anchor: isAnchor(request.messages, knownUpTo + 1 - firstSeq + offset) ? 1 : 0,
      // Nothing reproduces what was not kept.
      wire_hash: keepsContent ? message.wireHash : '',
      echo_from: echo?.from ?? null,
      echo: echo === undefined ? null : encodeContent(echo.text),
      call_id: callId,
      created_at: createdAt,
    })
    return { ...row, writtenWith }
  })
  // With nothing new to hang an echo on, a request that spells its history differently is kept whole.
  const isReproducible =
    request.messagesAt !== undefined && (messages.length > 0 || match?.exactUpTo === upToSeq)
  const wholeBody = (): Uint8Array =>
    keepsContent
      ? encodeContent(
          assembleRequest(
            request,
            request.messages.map(({ raw }) => raw),
          ),
        )
      : absentContent()
  // A fork without a message of its own begins with the reply.
  const anchorsReply =
    messages.length === 0 &&
    (placement.kind === 'new' || (placement.kind === 'repeat' && placement.isEmptyFork))
  const { reservation } = start
  const reserved = reservation && { tokens: reservation.tokens, nanousd: reservation.nanousd }
  const decision: BeginDecision = { conversationId, isKeptWhole: !isReproducible, anchorsReply, reserved }
  return {
    call: begunCall(start, decision),
    decision,
    conversation:
      placement.kind !== 'new'
        ? undefined
        : newConversationRow({
            user_id: userId,
            id: conversationId,
            next_seq: upToSeq + 1,
            parent_id: placement.parent?.id ?? null,
            parent_seq: placement.parent?.seq ?? null,
            created_at: createdAt,
          }),
    messages,
    request: {
      user_id: userId,
      id: callId,
      conversation_id: conversationId,
      up_to_seq: upToSeq,
      api_key_id: start.apiKeyId ?? null,
      instance_id: start.instanceId,
      provider: start.provider,
      request_model: start.requestModel,
      operation: start.operation,
      params: isReproducible ? encodeContent(request.frame) : null,
      messages_at: isReproducible ? (request.messagesAt ?? null) : null,
      separator: isReproducible && request.separator !== ',' ? request.separator : null,
      body: isReproducible ? null : wholeBody(),
      prompt_hash: request.promptHash,
      created_at: createdAt,
      group_id: start.groupId ?? null,
      route_mode: start.routeMode ?? null,
      document_type: start.documentKind?.type ?? null,
      document_version: start.documentKind?.version ?? null,
      reserved_tokens: reserved?.tokens ?? null,
      reserved_nanousd: reserved?.nanousd ?? null,
      compression: start.sent?.compression ?? null,
      sent: keepsContent && start.sent?.facts !== undefined ? encodeContent(start.sent.facts) : null,
      writtenWith,
    },
    response: responseRow(start, conversationId),
  }
}

function responseRow(
  { callId, userId, createdAt, response, apiKeyId }: CallStart,
  conversationId: string,
): (Row<'responses'> & Kept) | undefined {
  if (response === undefined) return undefined
  return {
    user_id: userId,
    id: response.id,
    call_id: callId,
    conversation_id: conversationId,
    seq: null,
    previous_response_id: response.previousResponseId ?? null,
    status: 'in_progress',
    input: encodeContent(response.input),
    body: encodeContent(response.body),
    metadata: response.metadata ?? null,
    created_at: createdAt,
    deleted_at: null,
    writtenWith: apiKeyId,
  }
}

function conversationOf(placement: Placement): string {
  if (placement.kind === 'apart') return ''
  return placement.kind === 'new' ? newId('conversation') : placement.conversationId
}

/**
 * Whether a message is looked up by its hash. Replies are reached through the message they answer, and nothing before
 * the first telling message identifies a conversation: fewer entries in the one index whose order is random.
 */
function isAnchor(messages: readonly PreparedMessage[], at: number): boolean {
  return (
    at === messages.length - 1 || (at >= firstTellingMessage(messages) && messages[at]?.role !== 'assistant')
  )
}

/** Recorded messages that the client now spells differently, from the first one that differs. */
function echoOf(start: CallStart, match: Match | undefined): { from: number; text: string } | undefined {
  if (match === undefined || match.exactUpTo === match.seq) return undefined
  const from = match.exactUpTo + 1
  const raws = start.request.messages.slice(from, match.seq + 1).map(message => message.raw)
  return { from, text: raws.join(echoSeparator) }
}
