import { isFields } from './reply.ts'

/** Whose messages are searched: what people said and what they were told, not what programs told each other. */
export const searchedRoles = ['user', 'assistant'] as const

export type SearchedRole = (typeof searchedRoles)[number]

export function isSearchedRole(role: string): role is SearchedRole {
  return (searchedRoles as readonly string[]).includes(role)
}

/**
 * What can be searched of a message: the text of its content, or of the parts that have some, and a refusal. Not the
 * arguments of tool calls, images or files. Empty when there is none.
 * @param raw the message as JSON text; one that cannot be read has no text
 */
export function searchedText(raw: string): string {
  let message: unknown
  try {
    message = JSON.parse(raw)
  } catch {
    return ''
  }
  if (!isFields(message)) return ''
  const { content, refusal } = message
  const parts = Array.isArray(content) ? content.map(partText) : [content]
  return [...parts, refusal]
    .filter((text): text is string => typeof text === 'string' && text !== '')
    .join('\n')
}

function partText(part: unknown): unknown {
  return isFields(part) ? (part['text'] ?? part['refusal']) : undefined
}
