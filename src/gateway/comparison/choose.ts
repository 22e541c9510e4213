import { SteleError } from '../../errors.ts'
import { isId } from '../../ids.ts'
import { canonicalMessage } from '../../model/canonical.ts'
import { maybeJson } from '../../model/maybe-json.ts'
import {
  type AssistantMessage,
  assistantMessage,
  assistantMessageText,
  type Reply,
  readCompletion,
} from '../../model/reply.ts'
import { completionFromEvents } from '../../model/stored-completion.ts'
import { unlessNotKept } from '../../privacy/content.ts'
import { isEventStream } from '../../providers/provider.ts'
import type { ChosenReply } from '../../recorder/operations.ts'
import type { Recorder } from '../../recorder/recorder.ts'
import { type Call, callStore } from '../../store/calls.ts'
import { promptly, type Store } from '../../store/contents.ts'

/** Which reply of a comparison is taken, and by whom. */
export interface Choice {
  readonly userId: string
  /** The first of its calls. */
  readonly groupId: string
  /** The call whose reply is taken; none when left out. */
  readonly callId: string | undefined
  /**
   * The reply as its client has it and will send it again. Only needed where what is kept of it is another text, or nothing:
   * the conversation has what is kept.
   */
  readonly message?: Readonly<Record<string, unknown>> | undefined
  /** As audit events name whoever chooses. */
  readonly actor: string
}

/** What was decided, now or before. */
export interface Chosen {
  /** The conversation that has the reply, or when none was taken the question. */
  readonly conversationId: string
  /** True when the same choice had been made before. */
  readonly isRepeat: boolean
}

/**
 * Takes one reply of a comparison whose calls are settled into their conversation, or none, in one transaction. All that it
 * takes to know is on record: it may be asked of any process, at any time. The same choice again changes nothing.
 * @throws SteleError comparison_not_found, comparison_under_way, comparison_settled, call_not_found, invalid_value,
 * missing_required_parameter, conversation_not_found, content_unreadable, store_unavailable
 */
export async function choose(
  { recorder, database }: { readonly recorder: Pick<Recorder, 'change'>; readonly database: Store },
  { userId, groupId, callId, message, actor }: Choice,
): Promise<Chosen> {
  if (!isId('call', groupId)) throw new SteleError('comparison_not_found', { comparison: groupId })
  const calls = callStore(promptly(database))
  const call = callId === undefined ? undefined : await calls.get(userId, callId)
  if (callId !== undefined && call?.groupId !== groupId)
    throw new SteleError('call_not_found', { call: callId }, { param: 'call_id' })
  // What is read of it now would be told as if that were all.
  if (call?.status === 'pending') throw new SteleError('comparison_under_way', { comparison: groupId })
  const { conversationId, isRepeat } = await recorder.change({
    kind: 'choose',
    userId,
    groupId,
    actor,
    chosen: call && (await chosenReply(calls, call, message)),
    createdAt: Date.now(),
  })
  return { conversationId: conversationId ?? '', isRepeat }
}

async function chosenReply(
  calls: ReturnType<typeof callStore>,
  call: Call,
  told: Choice['message'],
): Promise<ChosenReply> {
  const { id: callId, userId, apiKeyId, createdAt } = call
  const recorded = await calls.exactResponse(userId, callId).catch(unlessNotKept)
  const message = recorded && replyOf(recorded, call)?.message
  // One that was stopped before it said anything says nothing to anybody.
  const kept = message && (call.status === 'completed' || isSaid(message)) ? message : undefined
  const said = told === undefined ? kept : assistantMessage(told)
  // Of a reply that is not kept, there was a message if it came to an end.
  const isNotKept = recorded === undefined && call.finishReasons.length > 0
  return {
    callId,
    apiKeyId,
    createdAt,
    message: kept === undefined ? (isNotKept ? '' : undefined) : assistantMessageText(kept),
    canonical: said && canonicalMessage({ role: 'assistant', ...said }),
  }
}

function isSaid(message: AssistantMessage): boolean {
  const { content, ...more } = message
  return (content ?? '') !== '' || Object.keys(more).length > 0
}

/** What a recorded reply says; undefined when it is no completion. */
function replyOf(recorded: Buffer, { contentType }: Call): Reply | undefined {
  if (isEventStream(contentType ?? '')) return readCompletion(completionFromEvents(recorded))
  return readCompletion(maybeJson(recorded.toString('utf8')))
}
