import { mostToolUses, type Usage } from './usage.ts'

type Fields = Readonly<Record<string, unknown>>

/** How often tools of the provider's own were used that it charges for beside tokens. */
export type ToolUse = Pick<Usage, 'webSearches' | 'fileSearches' | 'otherPaidTools'>

type PaidTool = keyof ToolUse

/** What of a response's output stands for such a use, as OpenAI names it. */
const paidItems: ReadonlyMap<unknown, PaidTool> = new Map<unknown, PaidTool>([
  ['web_search_call', 'webSearches'],
  ['file_search_call', 'fileSearches'],
  ['code_interpreter_call', 'otherPaidTools'],
  ['image_generation_call', 'otherPaidTools'],
])

/** The tools of a request. An older web search costs what depends on the model, so that it is no search like others. */
const paidTools: readonly (readonly [RegExp, PaidTool])[] = [
  [/^web_search(?!_preview)/, 'webSearches'],
  [/^file_search$/, 'fileSearches'],
  [/^(web_search_preview.*|code_interpreter|image_generation)$/, 'otherPaidTools'],
]

/**
 * Counts them in the output of a response, whose `tools` say which web search it was. Of what a web search does, only searching
 * is charged for, not reading a page; code runs in containers, and these are charged for.
 */
export function toolsUsed(output: readonly Fields[], tools: unknown): ToolUse {
  const isOldSearch = typesOf(tools).some(type => type.startsWith('web_search_preview'))
  const containers = new Set<unknown>()
  const used: { -readonly [K in PaidTool]?: number } = {}
  for (const { type, status, action, container_id: container } of output) {
    const named = paidItems.get(type)
    if (named === undefined || status === 'failed' || !isSearch(action)) continue
    if (container !== undefined && containers.has(container)) continue
    if (container !== undefined) containers.add(container)
    const tool = isOldSearch && named === 'webSearches' ? 'otherPaidTools' : named
    used[tool] = (used[tool] ?? 0) + 1
  }
  return used
}

/** What a chat completion used by the name of its model: some search the web before each answer, and say nothing of it. */
export function toolsOfModel(model: string): ToolUse {
  const [, kind] = searchesAlways.exec(model) ?? []
  if (kind === undefined) return {}
  return kind === 'api' ? { webSearches: 1 } : { otherPaidTools: 1 }
}

const searchesAlways = /^(?:.*\/)?gpt-.*-search-(preview|api)\b/

/** What a request lets its provider use. */
export interface ToolsAllowed {
  readonly tools: readonly PaidTool[]
  /** How often, all together; undefined when the request does not say. */
  readonly most: number | undefined
}

/** Undefined when it lets it use none whose use its reply will tell. */
export function toolsAllowed(request: Fields, operation: string, model: string): ToolsAllowed | undefined {
  if (operation === 'chat') {
    const always = Object.keys(toolsOfModel(model)) as PaidTool[]
    return always.length === 0 ? undefined : { tools: always, most: 1 }
  }
  if (operation !== 'responses' || request['tool_choice'] === 'none') return undefined
  const tools = [...new Set(namedTools(request['tools']))]
  if (tools.length === 0) return undefined
  const stated = request['max_tool_calls']
  const most =
    typeof stated === 'number' && stated >= 0 ? Math.min(mostToolUses, Math.ceil(stated)) : undefined
  return { tools, most }
}

function namedTools(tools: unknown): PaidTool[] {
  return typesOf(tools).flatMap(type =>
    paidTools.flatMap(([names, tool]) => (names.test(type) ? [tool] : [])),
  )
}

function typesOf(tools: unknown): string[] {
  const given = Array.isArray(tools) ? tools.filter(isFields) : []
  return given.flatMap(({ type }) => (typeof type === 'string' ? [type] : []))
}

function isSearch(action: unknown): boolean {
  const kind = isFields(action) ? action['type'] : undefined
  return kind === undefined || kind === 'search'
}

function isFields(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
