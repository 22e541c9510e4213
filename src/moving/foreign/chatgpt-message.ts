import { z } from 'zod'
import { type MessageDraft, roleOf } from './message.ts'
import type { Origin } from './source.ts'
import { wordOf } from './values.ts'

const maybe = z.string().nullish()

const chatGptMessage = z.looseObject({
  id: maybe,
  author: z.looseObject({ role: z.string(), name: maybe }),
  create_time: z.number().nullish(),
  content: z.looseObject({ content_type: z.string() }).nullish(),
  recipient: maybe,
  status: maybe,
  metadata: z
    .looseObject({ model_slug: maybe, is_visually_hidden_from_conversation: z.boolean().nullish() })
    .nullish(),
})

type Message = z.infer<typeof chatGptMessage>
type Content = NonNullable<Message['content']>

/** A part of a message as OpenAI writes it. */
type Part =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string } }

/**
 * A message of ChatGPT as OpenAI's API writes it. What an assistant says to a tool is a tool call; what the tool answers is
 * a tool message.
 * @param parentId the message before it, which a tool answers
 */
export function chatGptDraft(
  origin: Origin,
  nodeId: string,
  value: unknown,
  parentId: string | null,
): MessageDraft {
  const table = 'messages'
  const none = { table, originalId: nodeId, json: '', role: '', createdAt: undefined }
  if (value === null || value === undefined)
    return { ...none, skipped: 'a node of the tree without a message' }
  const checked = chatGptMessage.safeParse(value)
  if (!checked.success) return { ...none, skipped: 'its shape is none that is known' }
  const { author, content, recipient, metadata, create_time, status } = checked.data
  // Custom instructions and memories are told to the model as from the user, but nobody said them here.
  const isContext = content?.content_type.endsWith('_editable_context') === true
  const role = isContext ? 'system' : roleOf(author.role)
  if (role === undefined) return { ...none, skipped: 'its role is none that is known' }
  if (content == null) return { ...none, skipped: 'it has no content' }
  const parts = partsOf(origin, content)
  if (parts.every(part => part.type === 'text' && part.text === ''))
    return { ...none, skipped: 'it is empty' }
  const tool = recipient == null || recipient === 'all' ? undefined : recipient
  return {
    table,
    originalId: nodeId,
    role,
    json: JSON.stringify(messageOf(role, parts, { nodeId, parentId, tool })),
    createdAt: create_time == null || create_time < 0 ? undefined : Math.floor(create_time * 1000),
    model: wordOf(metadata?.model_slug),
    facts: {
      content_type: wordOf(content.content_type),
      author_name: wordOf(author.name),
      recipient: wordOf(tool),
      status: status === 'finished_successfully' ? null : wordOf(status),
      is_hidden: metadata?.is_visually_hidden_from_conversation === true ? true : null,
    },
  }
}

function messageOf(
  role: string,
  parts: readonly Part[],
  { nodeId, parentId, tool }: { nodeId: string; parentId: string | null; tool: string | undefined },
): object {
  const content = parts.every(part => part.type === 'text') ? parts.map(part => part.text).join('\n') : parts
  if (role === 'assistant' && tool !== undefined) {
    const input = typeof content === 'string' ? content : JSON.stringify(content)
    return {
      role,
      content: null,
      tool_calls: [{ id: nodeId, type: 'custom', custom: { name: tool, input } }],
    }
  }
  return role === 'tool' ? { role, tool_call_id: parentId ?? nodeId, content } : { role, content }
}

const text = (value: unknown): Part[] => (typeof value === 'string' ? [{ type: 'text', text: value }] : [])

function partsOf(origin: Origin, content: Content): Part[] {
  switch (content.content_type) {
    case 'text':
    case 'multimodal_text':
      return (Array.isArray(content['parts']) ? content['parts'] : []).flatMap(part => partOf(origin, part))
    case 'code':
    case 'execution_output':
    case 'system_error':
      return text(content['text'])
    case 'user_editable_context':
      return [...text(content['user_profile']), ...text(content['user_instructions'])]
    case 'model_editable_context':
      return text(content['model_set_context'])
    case 'tether_quote':
      return text([content['title'], content['url'], content['text']].filter(Boolean).join('\n'))
    case 'tether_browsing_display':
      return text([content['summary'], content['result']].filter(Boolean).join('\n'))
    case 'reasoning_recap':
      return text(content['content'])
    case 'thoughts':
      return (Array.isArray(content['thoughts']) ? (content['thoughts'] as unknown[]) : []).flatMap(
        thought => {
          const { summary, content: said } = (thought ?? {}) as { summary?: unknown; content?: unknown }
          return text([summary, said].filter(each => typeof each === 'string').join('\n'))
        },
      )
    default:
      origin.note(`messages: content of the type ${wordOf(content.content_type) ?? '?'} is kept as its JSON`)
      return text(JSON.stringify(content))
  }
}

/** What a message is put together from: text, or a pointer to a file that the export has beside it. */
function partOf(origin: Origin, part: unknown): Part[] {
  if (typeof part === 'string') return text(part)
  const { content_type: type, asset_pointer: pointer, text: spoken } = (part ?? {}) as Record<string, unknown>
  if (type === 'image_asset_pointer' && typeof pointer === 'string') {
    origin.note('messages: point to images, which are not imported themselves')
    return [{ type: 'image_url', image_url: { url: pointer } }]
  }
  if (type === 'audio_transcription') return text(spoken)
  origin.note(`messages: parts of the type ${wordOf(String(type)) ?? '?'} are kept as their JSON`)
  return text(JSON.stringify(part))
}
