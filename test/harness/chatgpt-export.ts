/** Conversations as ChatGPT's export writes them. */

interface NodeFields {
  readonly role?: string
  readonly name?: string
  readonly recipient?: string
  readonly content?: object | null | undefined
  readonly at?: number | null
  readonly metadata?: object
}

type ExportNode = { id: string; message: object | null; parent: string | null; children: string[] }

const textContent = (...parts: string[]): object => ({ content_type: 'text', parts })

/** A tree that grows node by node. */
export class ExportTree {
  readonly mapping: Record<string, ExportNode> = {
    'client-created-root': { id: 'client-created-root', message: null, parent: null, children: [] },
  }

  /** A message below another; its id. */
  add(
    id: string,
    parent: string,
    { role = 'user', name, recipient = 'all', content, at = 1_700_000_000.123456, metadata = {} }: NodeFields,
  ): string {
    this.mapping[id] = {
      id,
      message: {
        id,
        author: { role, name: name ?? null, metadata: {} },
        create_time: at,
        update_time: null,
        content: content === undefined ? textContent(id) : content,
        status: 'finished_successfully',
        end_turn: null,
        weight: 1,
        metadata,
        recipient,
        channel: null,
      },
      parent,
      children: [],
    }
    this.mapping[parent]?.children.push(id)
    return id
  }

  conversation(id: string, currentNode: string, more: object = {}): object {
    return {
      title: `Title of ${id} 🗿`,
      create_time: 1_700_000_000.5,
      update_time: 1_700_000_500.25,
      mapping: this.mapping,
      moderation_results: [],
      current_node: currentNode,
      plugin_ids: null,
      conversation_id: id,
      conversation_template_id: null,
      gizmo_id: null,
      is_archived: false,
      default_model_slug: 'gpt-4o',
      id,
      ...more,
    }
  }
}

/** A conversation with a bit of everything that occurs: tools, pictures, custom instructions, an edited question. */
export function richConversation(): object {
  const tree = new ExportTree()
  const system = tree.add('system', 'client-created-root', {
    role: 'system',
    content: textContent(''),
    at: null,
    metadata: { is_visually_hidden_from_conversation: true },
  })
  const instructions = tree.add('instructions', system, {
    at: null,
    content: {
      content_type: 'user_editable_context',
      user_profile: 'I am Ada.',
      user_instructions: 'Be brief.',
    },
    metadata: { is_visually_hidden_from_conversation: true, is_user_system_message: true },
  })
  const asked = tree.add('asked', instructions, {})
  // Asked first, then edited: the answer to the first stays in the tree.
  tree.add('old answer', asked, { role: 'assistant', metadata: { model_slug: 'gpt-4' } })
  const code = tree.add('code', asked, {
    role: 'assistant',
    recipient: 'python',
    content: { content_type: 'code', language: 'python', text: 'print(6 * 7)' },
  })
  const output = tree.add('output', code, {
    role: 'tool',
    name: 'python',
    content: { content_type: 'execution_output', text: '42' },
  })
  const answer = tree.add('answer', output, { role: 'assistant', metadata: { model_slug: 'gpt-4o' } })
  const edited = tree.add('edited away', answer, {})
  tree.add('reply to edited', edited, { role: 'assistant' })
  const picture = tree.add('picture', answer, {
    content: {
      content_type: 'multimodal_text',
      parts: [
        {
          content_type: 'image_asset_pointer',
          asset_pointer: 'file-service://file-abc',
          width: 1,
          height: 1,
        },
        'What is this?',
      ],
    },
  })
  const thoughts = tree.add('thoughts', picture, {
    role: 'assistant',
    content: { content_type: 'thoughts', thoughts: [{ summary: 'Looking', content: 'A stone.' }] },
  })
  tree.add('last', thoughts, { role: 'assistant', content: textContent('A stele.', '\uD83D\uDDFF NUL:\0') })
  return tree.conversation('6543f0a1-0000-8000-8000-000000000001', 'last')
}
