import type { Chat } from './chat.ts'

/** A chat as a text to keep: JSON when the file is called so, else Markdown. */
export function transcriptText(chat: Chat, fileName: string): string {
  return /\.json$/i.test(fileName) ? asJson(chat) : asMarkdown(chat)
}

function asJson({ thread, model, transcript }: Chat): string {
  const { sessionId, conversationId } = thread
  const messages = transcript.map(({ raw }) => JSON.parse(raw) as unknown)
  return `${JSON.stringify({ session_id: sessionId, conversation_id: conversationId, model, messages }, null, 2)}\n`
}

function asMarkdown({ thread, model, transcript }: Chat): string {
  const name = thread.sessionId ?? thread.conversationId
  const head = [
    '# Conversation',
    '',
    ...(name === undefined ? [] : [`- conversation: ${name}`]),
    `- model: ${model}`,
  ]
  const said = transcript.flatMap(({ role, text }) => ['', `## ${role}`, '', text.trimEnd()])
  return `${[...head, ...said].join('\n')}\n`
}
