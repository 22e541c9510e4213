import type { Usage } from './usage.ts'

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

/** Counts them in the output of a response. Of what a web search does, only searching is charged for, not reading a page. */
export function toolsUsed(output: readonly Fields[]): ToolUse {
  const used: { -readonly [K in PaidTool]?: number } = {}
  for (const { type, status, action } of output) {
    const tool = paidItems.get(type)
    if (tool === undefined || status === 'failed' || !isSearch(action)) continue
    used[tool] = (used[tool] ?? 0) + 1
  }
  return used
}

/** What a chat completion used by the name of its model: some search the web before each answer, and say nothing of it. */
export function toolsOfModel(model: string | undefined): ToolUse {
  return model !== undefined && searchesAlways.test(model) ? { webSearches: 1 } : {}
}

const searchesAlways = /-search-(preview|api)\b/

function isSearch(action: unknown): boolean {
  const kind = isFields(action) ? action['type'] : undefined
  return kind === undefined || kind === 'search'
}

/** What a request lets its provider use. */
export interface ToolsAllowed {
  readonly tools: readonly PaidTool[]
  /** How often, all together; undefined when the request does not say. */
  readonly most: number | undefined
}

const allowedBy: readonly (readonly [RegExp, PaidTool])[] = [
  [/^web_search/, 'webSearches'],
  [/^file_search$/, 'fileSearches'],
  [/^(code_interpreter|image_generation)$/, 'otherPaidTools'],
]

/** No call makes as many: a bound beyond it is none that a sum must hold. */
const mostUses = 1_000_000

/** Undefined when it lets it use none. */
export function toolsAllowed(request: Fields, model: string): ToolsAllowed | undefined {
  const given = Array.isArray(request['tools']) ? request['tools'].filter(isFields) : []
  const named = given.flatMap(({ type }) =>
    allowedBy.flatMap(([names, tool]) => (typeof type === 'string' && names.test(type) ? [tool] : [])),
  )
  if (named.length > 0) {
    const stated = request['max_tool_calls']
    const most = typeof stated === 'number' && stated >= 0 ? Math.min(mostUses, Math.ceil(stated)) : undefined
    return { tools: [...new Set(named)], most }
  }
  const isSearching = isFields(request['web_search_options']) || toolsOfModel(model).webSearches !== undefined
  return isSearching ? { tools: ['webSearches'], most: 1 } : undefined
}

function isFields(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
