import { SteleError } from '../../errors.ts'

/** What a query asks for, each once; a parameter that is given twice is a list. */
export type Query = Readonly<Record<string, string | string[] | undefined>>

export interface Page {
  readonly limit: number
  readonly order: 'asc' | 'desc'
  /** The id behind which it begins. */
  readonly after: string | undefined
}

const defaultLimit = 20
const maxLimit = 100

/** The page that a query asks for, in OpenAI's parameters. @throws SteleError invalid_value */
export function pageOf(query: Query): Page {
  const limit = parameter(query, 'limit') ?? String(defaultLimit)
  const order = parameter(query, 'order') ?? 'asc'
  if (!/^\d{1,3}$/.test(limit) || Number(limit) < 1 || Number(limit) > maxLimit)
    throw invalid('limit', `it must be an integer from 1 to ${maxLimit}`)
  if (order !== 'asc' && order !== 'desc') throw invalid('order', "it must be 'asc' or 'desc'")
  return { limit: Number(limit), order, after: parameter(query, 'after') }
}

/** A parameter of a query; undefined when it is empty or not there. @throws SteleError invalid_value */
export function parameter(query: Query, name: string): string | undefined {
  const value = query[name]
  if (Array.isArray(value)) throw invalid(name, 'it is given more than once')
  return value === '' ? undefined : value
}

/** OpenAI's envelope of a page. An empty one has no ids, which OpenAI's description writes as text all the same. */
export function listOf<T extends { readonly id?: unknown }>(data: readonly T[], hasMore: boolean): object {
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? '',
    last_id: data.at(-1)?.id ?? '',
    has_more: hasMore,
  }
}

export function invalid(name: string, reason: string): SteleError {
  return new SteleError('invalid_value', { name, reason }, { param: name })
}
