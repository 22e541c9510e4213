import type { PlacedCall } from '../../src/model/call.ts'

/** A message; a fork has the very same ones as the conversation it came from. */
export interface ModelMessage {
  readonly seq: number
  readonly role: string
  readonly content: string
  /** The conversation that has it as its own. */
  readonly owner: ModelConversation
  isDeleted: boolean
}

export interface ModelConversation {
  readonly id: string
  readonly sessionId: string | undefined
  state: 'living' | 'deleted' | 'purged'
  /** Its whole history, shared ones and deleted ones too; the seq of each is its index. */
  readonly messages: ModelMessage[]
}

export interface OpenCall {
  readonly call: PlacedCall
  readonly conversation: ModelConversation
  /** How many messages there were with its question. */
  readonly end: number
}

type Said = Pick<ModelMessage, 'role' | 'content'>

/** What a store holds of one user: nothing but lists. */
export class LibraryModel {
  readonly conversations: ModelConversation[] = []
  readonly openCalls: OpenCall[] = []

  get living(): ModelConversation[] {
    return this.conversations.filter(({ state }) => state === 'living')
  }

  add(id: string, messages: readonly ModelMessage[] = [], sessionId?: string): ModelConversation {
    const conversation: ModelConversation = { id, sessionId, state: 'living', messages: [...messages] }
    this.conversations.push(conversation)
    return conversation
  }

  append(conversation: ModelConversation, said: readonly Said[]): void {
    for (const { role, content } of said)
      conversation.messages.push({
        role,
        content,
        seq: conversation.messages.length,
        owner: conversation,
        isDeleted: false,
      })
  }

  /** The living conversation of a session. */
  holder(sessionId: string | undefined): ModelConversation | undefined {
    return sessionId === undefined ? undefined : this.living.find(each => each.sessionId === sessionId)
  }
}

export function visible({ messages }: ModelConversation): string[] {
  return messages.filter(({ isDeleted }) => !isDeleted).map(({ content }) => content)
}
