import { type ChatMessageFields, chatMessages } from './chat-messages.ts'
import type { Item } from './input-items.ts'

/** Items that one message stands for. */
export interface ItemGroup<T extends Item> {
  readonly items: readonly T[]
  /** The message; undefined when none of the items has a form in chat completions. */
  readonly message: ChatMessageFields | undefined
}

const toolCalls: ReadonlySet<string> = new Set(['function_call', 'custom_tool_call'])

const ofMessages: ReadonlySet<string> = new Set([
  ...toolCalls,
  'message',
  'function_call_output',
  'custom_tool_call_output',
])

/**
 * Puts items together as chat messages hold them: an assistant's message and the calls that follow it are one. Items that
 * chat completions have no words for go with the message that they lead to, those at the end with the last one.
 */
export function groupItems<T extends Item>(items: readonly T[]): ItemGroup<T>[] {
  const groups: T[][] = []
  let leading: T[] = []
  for (const item of items) {
    if (!ofMessages.has(item.type)) {
      leading.push(item)
      continue
    }
    const last = groups.at(-1)
    if (last !== undefined && toolCalls.has(item.type) && last.some(isByAssistant))
      last.push(...leading, item)
    else groups.push([...leading, item])
    leading = []
  }
  const last = groups.at(-1)
  if (last !== undefined) last.push(...leading)
  else if (leading.length > 0) groups.push(leading)
  return groups.map(group => ({ items: group, message: messageOf(group) }))
}

/** The message that items stand for together; what of them it has no words for is left out. */
export function messageOf(items: readonly Item[]): ChatMessageFields | undefined {
  return chatMessages(
    items.filter(({ type }) => ofMessages.has(type)),
    () => undefined,
  )[0]
}

function isByAssistant(item: Item): boolean {
  return toolCalls.has(item.type) || (item.type === 'message' && item['role'] === 'assistant')
}
