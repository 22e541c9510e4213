import { SteleError } from '../../errors.ts'
import { isId } from '../../ids.ts'
import type { ChatMessage } from '../../model/chat-request.ts'
import type { Continuation } from '../../model/prepared-request.ts'
import { invalid } from '../../model/responses/request.ts'
import { isAbsent } from '../../privacy/content.ts'
import type { Stele } from '../../stele.ts'
import { callStore } from '../../store/calls.ts'
import { promptly } from '../../store/contents.ts'
import { conversationStore } from '../../store/conversations.ts'
import { rawMessages } from '../../store/raw-messages.ts'
import { responseStore } from '../../store/responses.ts'
import { isWholeMessage, shownText } from '../../store/shown-message.ts'
import { inClientsTerms } from '../store-failure.ts'

/** What a request goes on from. */
export interface History {
  /** Oldest first, in the words that are on record. */
  readonly messages: readonly ChatMessage[]
  /** Undefined when it goes on from nothing. */
  readonly continues: Omit<Continuation, 'newMessages'> | undefined
}

export interface StateNames {
  readonly previousResponseId: string | undefined
  readonly conversationId: string | undefined
}

/** Reads what requests go on from. */
export function historyReader({ database }: Pick<Stele, 'database'>) {
  const prompt = promptly(database)
  const conversations = conversationStore(prompt)
  const responses = responseStore(prompt)
  const calls = callStore(prompt)

  /** The history of a conversation up to a message of it, or without those at its end that nobody answered. */
  const upTo = async (
    userId: string,
    conversationId: string,
    seq: number,
    { onlyAtEnd }: { onlyAtEnd: boolean },
  ): Promise<History> => {
    const rows = seq < 0 ? [] : await conversations.history(userId, conversationId, seq)
    const last = rows.at(-1)
    const inVain = onlyAtEnd ? await unanswered(userId, conversationId, rows) : []
    const kept = rows.filter(
      row => row.deleted_at === null && !isAbsent(row.content) && !inVain.includes(row.seq),
    )
    const isWhole = kept.length === rows.length && rows.every(isWholeMessage)
    const texts = isWhole ? rawMessages(rows, rows.length - 1) : kept.flatMap(row => shownText(row) ?? [])
    return {
      messages: texts.map(recordedMessage),
      continues: {
        conversationId,
        seq,
        chainHash: last?.chain_hash ?? '',
        wireHash: last?.wire_hash ?? '',
        isWhole,
        onlyAtEnd,
        withdraws: inVain,
      },
    }
  }

  /**
   * The places of messages at the end of a conversation whose call came to nothing: a model that is told of them would
   * answer them too. @throws SteleError conversation_locked while their call is under way
   */
  const unanswered = async (
    userId: string,
    conversationId: string,
    rows: Awaited<ReturnType<typeof conversations.history>>,
  ): Promise<number[]> => {
    const last = rows.at(-1)
    if (last === undefined || last.call_id === null || last.role === 'assistant') return []
    const attempts = await calls.group(userId, last.call_id)
    if (attempts.some(({ status }) => status === 'pending'))
      throw new SteleError('conversation_locked', { conversation: conversationId }, { param: 'conversation' })
    if (attempts.length === 0 || attempts.some(({ status }) => status === 'completed')) return []
    return rows
      .filter(row => row.call_id === last.call_id && row.conversation_id === conversationId)
      .map(row => row.seq)
  }

  const read = async (
    userId: string,
    { previousResponseId, conversationId }: StateNames,
  ): Promise<History> => {
    if (previousResponseId !== undefined) {
      const previous = isId('response', previousResponseId)
        ? await responses.get(userId, previousResponseId)
        : undefined
      const param = 'previous_response_id'
      if (previous === undefined)
        throw new SteleError('previous_response_not_found', { response: previousResponseId }, { param })
      if (previous.seq === undefined)
        throw invalid(param, `the response ${previous.id} has no reply to go on from`)
      return upTo(userId, previous.conversationId, previous.seq, { onlyAtEnd: false })
    }
    if (conversationId === undefined) return { messages: [], continues: undefined }
    const conversation = isId('conversation', conversationId)
      ? await conversations.get(userId, conversationId)
      : undefined
    if (conversation === undefined)
      throw new SteleError(
        'conversation_not_found',
        { conversation: conversationId },
        { param: 'conversation' },
      )
    return upTo(userId, conversationId, conversation.nextSeq - 1, { onlyAtEnd: true })
  }

  const told = inClientsTerms(database)
  return (userId: string, names: StateNames): Promise<History> => told(read(userId, names))
}

function recordedMessage(raw: string): ChatMessage {
  const value = JSON.parse(raw) as Record<string, unknown>
  return { role: String(value['role']), raw, value }
}
