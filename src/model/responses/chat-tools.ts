import { isFields } from '../reply.ts'
import type { Refuse } from './chat-messages.ts'
import { invalid, type PromptFields } from './request.ts'

type Fields = Readonly<Record<string, unknown>>

/** A request's tools as chat completions name them; undefined without any. @throws SteleError invalid_value */
export function chatTools(tools: PromptFields['tools'], refuse: Refuse): Fields[] | undefined {
  if (tools == null) return undefined
  const written = tools.flatMap((tool, index) => chatTool(tool, `tools[${index}]`, refuse))
  return written.length === 0 ? undefined : written
}

function chatTool(tool: Fields & { type: string }, path: string, refuse: Refuse): Fields[] {
  if (tool.type !== 'function' && tool.type !== 'custom') {
    refuse(`${path}.type`, `the built-in tool '${tool.type}'`)
    return []
  }
  const { name, description } = tool
  if (typeof name !== 'string' || name === '') throw invalid(`${path}.name`, 'it must be a text')
  const described = typeof description === 'string' ? { description } : {}
  if (tool.type === 'custom')
    return [
      { type: 'custom', custom: { name, ...described, ...customFormat(tool['format'], `${path}.format`) } },
    ]
  const { parameters, strict } = tool
  if (parameters != null && !isFields(parameters)) throw invalid(`${path}.parameters`, 'it must be an object')
  if (strict != null && typeof strict !== 'boolean')
    throw invalid(`${path}.strict`, 'it must be true or false')
  return [
    {
      type: 'function',
      function: {
        name,
        ...described,
        ...(parameters == null ? {} : { parameters }),
        ...(strict == null ? {} : { strict }),
      },
    },
  ]
}

function customFormat(format: unknown, path: string): Fields {
  if (format == null) return {}
  if (!isFields(format)) throw invalid(path, 'it must be an object')
  const { type, syntax, definition } = format
  if (type !== 'grammar') return { format: { type: 'text' } }
  return { format: { type: 'grammar', grammar: { syntax, definition } } }
}

/** Which tools a model may or must use, in the words of chat completions. @throws SteleError invalid_value */
export function chatToolChoice(choice: PromptFields['tool_choice'], refuse: Refuse): unknown {
  if (choice == null || typeof choice === 'string') return choice ?? undefined
  switch (choice.type) {
    case 'function':
    case 'custom':
      return named(choice, 'tool_choice')
    case 'allowed_tools': {
      const { mode, tools } = choice
      if (mode !== 'auto' && mode !== 'required')
        throw invalid('tool_choice.mode', 'it must be auto or required')
      if (!Array.isArray(tools)) throw invalid('tool_choice.tools', 'it must be a list')
      const allowed = tools.filter(isFields).flatMap((tool, index) => {
        const path = `tool_choice.tools[${index}]`
        if (tool['type'] === 'function' || tool['type'] === 'custom') return [named(tool, path)]
        refuse(`${path}.type`, `the built-in tool '${String(tool['type'])}'`)
        return []
      })
      return { type: 'allowed_tools', allowed_tools: { mode, tools: allowed } }
    }
    default:
      refuse('tool_choice.type', `the built-in tool '${choice.type}'`)
      return undefined
  }
}

function named(choice: Fields, path: string): Fields {
  const { type, name } = choice
  if (typeof name !== 'string' || name === '') throw invalid(`${path}.name`, 'it must be a text')
  return { type, [String(type)]: { name } }
}
