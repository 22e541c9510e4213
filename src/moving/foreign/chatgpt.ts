import { z } from 'zod'
import { chatGptDraft } from './chatgpt-message.ts'
import { Tree } from './chatgpt-tree.ts'
import { type ConversationLine, conversationItems, conversationLine } from './conversation.ts'
import type { MessageDraft } from './message.ts'
import type { Origin, SourceItem } from './source.ts'
import { millisecondsOf, wordOf } from './values.ts'

const maybe = z.string().nullish()

const node = z.looseObject({
  message: z.unknown(),
  parent: maybe,
  children: z.array(z.string()).nullish(),
})

const conversation = z.looseObject({
  id: maybe,
  conversation_id: maybe,
  title: maybe,
  create_time: z.number().nullish(),
  update_time: z.number().nullish(),
  current_node: maybe,
  gizmo_id: maybe,
  default_model_slug: maybe,
  is_archived: z.boolean().nullish(),
  mapping: z.record(z.string(), node),
})

type Conversation = z.infer<typeof conversation>
/** One way through the tree. */
interface Branch {
  /** Undefined when nothing was said on it. */
  readonly line: ConversationLine | undefined
  readonly drafts: readonly MessageDraft[]
}

/** Where a way begins, and behind which message of another. */
interface Fork {
  readonly start: string
  readonly parent: Place | undefined
}

interface Place {
  readonly id: string
  /** -1 is before the first message. */
  readonly seq: number
}

/** Whether a value looks like a conversation of ChatGPT's export. */
export function isChatGpt(value: unknown): boolean {
  return value !== null && typeof value === 'object' && 'mapping' in value
}

/**
 * A conversation of ChatGPT's export. It is a tree: the way along the oldest children is the conversation, and every other
 * way is a fork, so that what comes later (an edited question, another answer) adds forks and moves nothing. The
 * conversation's name goes to the way that was shown last.
 */
export async function* chatGptItems(
  origin: Origin,
  owner: string,
  value: unknown,
): AsyncGenerator<SourceItem> {
  const table = 'conversations'
  const checked = conversation.safeParse(value)
  const id = checked.data?.conversation_id ?? checked.data?.id
  if (!checked.success || id == null) {
    yield {
      table,
      records: [],
      skipped: checked.success ? 'it has no id' : 'its shape is none that is known',
    }
    return
  }
  for (const { line, drafts } of branchesOf(origin, owner, id, checked.data)) {
    if (line !== undefined)
      yield* conversationItems(origin, { table, rows: line.parent_id === null ? 1 : 0, line }, drafts)
    else for (const { skipped } of drafts) yield { table: 'messages', records: [], skipped }
  }
}

function branchesOf(origin: Origin, owner: string, id: string, source: Conversation): Branch[] {
  const tree = new Tree(source.mapping)
  const waiting: Fork[] = tree.roots.map(start => ({ start, parent: undefined }))
  const branches: Branch[] = []
  let main: ConversationLine | undefined
  const nextFork = (): Fork | undefined => {
    const fork = waiting.shift()
    if (fork !== undefined) return fork
    // Nodes in a ring hang on no root.
    const start = tree.unseen()
    return start === undefined ? undefined : { start, parent: undefined }
  }
  for (let fork = nextFork(); fork !== undefined; fork = nextFork()) {
    const parent: Place | undefined = fork.parent ?? (main && { id: main.id, seq: -1 })
    const { drafts, forks, isShown } = walk(origin, tree, fork.start, parent?.seq ?? -1, source.current_node)
    const saysNothing = drafts.every(({ skipped }) => skipped !== undefined)
    const line =
      parent !== undefined && saysNothing
        ? undefined
        : lineOf(origin, owner, id, source, { drafts, parent, start: fork.start, isShown })
    main ??= line
    branches.push({ line, drafts })
    const from = line?.id ?? parent?.id ?? ''
    waiting.unshift(...forks.map(({ start, seq }) => ({ start, parent: { id: from, seq } })))
  }
  const forks = branches.filter(({ line }) => line !== undefined).length - 1
  if (forks > 0) origin.note('conversations: have branches, which are forks here', forks)
  if (main !== undefined) return branches
  // A conversation without a single node is one all the same.
  const way = { drafts: [], parent: undefined, start: '', isShown: true }
  return [{ line: lineOf(origin, owner, id, source, way), drafts: [] }]
}

interface Walk {
  readonly drafts: MessageDraft[]
  readonly forks: { readonly start: string; readonly seq: number }[]
  /** Whether it leads to the node that was shown last. */
  readonly isShown: boolean
}

/** Follows the tree along the oldest children from a node to an end. */
function walk(
  origin: Origin,
  tree: Tree,
  start: string,
  before: number,
  shown: string | null | undefined,
): Walk {
  const drafts: MessageDraft[] = []
  const forks: { start: string; seq: number }[] = []
  let seq = before
  let isShown = false
  for (let at: string | undefined = start; at !== undefined; ) {
    const draft = chatGptDraft(origin, at, tree.messageOf(at), tree.parentOf(at) ?? null)
    if (draft.skipped === undefined) seq++
    if (at === shown) isShown = true
    drafts.push(draft)
    const [next, ...others]: string[] = tree.visit(at)
    for (const child of others) forks.push({ start: child, seq })
    at = next
  }
  return { drafts, forks, isShown }
}

interface Way {
  readonly drafts: readonly MessageDraft[]
  /** What it leaves; undefined of the first way. */
  readonly parent: Place | undefined
  readonly start: string
  readonly isShown: boolean
}

function lineOf(
  origin: Origin,
  owner: string,
  id: string,
  source: Conversation,
  { drafts, parent, start, isShown }: Way,
): ConversationLine {
  const ownTime = parent === undefined ? millisecondsOf(source.create_time) : undefined
  const createdAt = ownTime ?? firstTime(drafts) ?? 0
  const updatedAt = isShown ? (millisecondsOf(source.update_time) ?? 0) : 0
  const hasShown = Object.hasOwn(source.mapping, source.current_node ?? '')
  return conversationLine({
    id: origin.id('conversation', createdAt, id, owner, parent === undefined ? null : start),
    user_id: owner,
    session_id: isShown || (parent === undefined && !hasShown) ? wordOf(id) : null,
    title: origin.text(source.title, 'conversations.title'),
    status: source.is_archived === true ? 'archived' : 'active',
    metadata: origin.metadata(parent === undefined ? id : start, {
      gizmo_id: wordOf(source.gizmo_id),
      default_model: wordOf(source.default_model_slug),
    }),
    created_at: createdAt,
    updated_at: Math.max(createdAt, updatedAt),
    ...(parent === undefined ? {} : { parent_id: parent.id, parent_seq: parent.seq }),
  })
}

function firstTime(drafts: readonly MessageDraft[]): number | undefined {
  return drafts.find(({ createdAt }) => createdAt !== undefined)?.createdAt
}
