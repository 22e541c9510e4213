import { type Reply, readCompletion } from '../../model/reply.ts'
import { chatMessage, writeChatRequest } from '../../model/responses/chat-body.ts'
import { chatRequest, type GatewayRequest } from '../gateway-request.ts'
import type { Rendition } from '../rendition.ts'
import type { History } from '../responses/history.ts'

/** A turn of a chat: who says what in which session. */
export interface Turn {
  readonly userId: string
  readonly sessionId: string
  readonly text: string
}

/** A turn as a request for a chat completion: what was said in the session so far, and what the user says now. */
export function turnRequest(model: string, turn: Turn, { messages, continues }: History): GatewayRequest {
  const said = chatMessage({ role: 'user', content: turn.text })
  const body = writeChatRequest({
    model,
    instructions: undefined,
    messages: [...messages, said],
    parameters: {},
    stream: false,
    asksUsage: false,
    user: undefined,
    keepsContent: true,
  })
  return {
    ...chatRequest(body),
    recording: { continues: continues && { ...continues, newMessages: 1 } },
    render: () => rendition(turn),
  }
}

/** What a client gets of a reply. @param value a chat completion */
export function turnReply({ userId, sessionId }: Turn, value: unknown): string {
  const { message } = readCompletion(value) ?? {}
  const reply = message?.content ?? message?.refusal ?? ''
  return JSON.stringify({ user_id: userId, session_id: sessionId, reply })
}

/** Turns are answered in one piece. */
function rendition(turn: Turn): Rendition {
  let read: Reply = { finishReasons: [], usage: {} }
  let whole = ''
  return {
    addWhole(value) {
      const reply = readCompletion(value)
      if (reply === undefined) return undefined
      read = reply
      whole = turnReply(turn, value)
      return reply
    },
    whole: () => whole,
    reply: () => read,
    isFinished: true,
    isEnded: true,
    add: () => '',
    isError: () => false,
    end: () => undefined,
    ending: () => '',
  }
}
