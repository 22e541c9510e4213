import type { DocumentTypeDefinition } from '../../src/documents/definition.ts'
import { completion } from './chat.ts'

/** A type whose documents have a title and steps. */
export function planType(more: Partial<DocumentTypeDefinition> = {}): DocumentTypeDefinition {
  return {
    name: 'plan',
    version: '1.0',
    model: 'm',
    prompt: { system: 'You write plans for {{name}}.', user: 'Plan: {{goal}}' },
    inputSchema: {
      type: 'object',
      properties: { name: { type: 'string', minLength: 1 }, goal: { type: 'string' } },
      required: ['name', 'goal'],
      additionalProperties: false,
    },
    outputSchema: {
      type: 'object',
      properties: { title: { type: 'string' }, steps: { type: 'array', items: { type: 'string' } } },
      required: ['title', 'steps'],
      additionalProperties: false,
    },
    ...more,
  }
}

export const planInput = { name: 'Ada', goal: 'a stele' }

export const plan = { title: 'A stele for Ada', steps: ['quarry', 'carve'] }

/** A chat completion whose content is this value as JSON, or this text. */
export function replyOf(value: unknown, usage = { prompt_tokens: 10, completion_tokens: 5 }): object {
  return completion(typeof value === 'string' ? value : JSON.stringify(value), {
    usage: { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens },
  })
}
