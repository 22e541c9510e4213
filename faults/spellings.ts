import { pythonJson } from '../test/harness/spellings.ts'

interface Message {
  readonly role: string
  readonly content: string
}

export interface Parameters {
  readonly model: string
  readonly messages: readonly Message[]
  readonly user: string
  readonly stream?: true
  readonly stream_options?: { readonly include_usage: true }
}

/** Ways in which clients write a request; a conversation keeps to one. */
export const spellings = [
  (parameters: Parameters) => JSON.stringify(parameters),
  (parameters: Parameters) => JSON.stringify(parameters, null, 2),
  (parameters: Parameters) => pythonJson(parameters),
  ({ messages, ...rest }: Parameters) =>
    JSON.stringify({
      ...rest,
      messages: messages.map(message =>
        message.role === 'assistant' ? { ...message, refusal: null } : message,
      ),
    }),
] as const
