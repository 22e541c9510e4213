import { SteleError } from '../../errors.ts'
import { invalid } from '../../model/responses/request.ts'

type Item = Readonly<Record<string, unknown>>
type Query = Readonly<Record<string, unknown>>

const mostItems = 100
const usualItems = 20

/** A page of input items, as OpenAI lists them: the latest first unless told otherwise. @throws SteleError invalid_value */
export function itemPage(items: readonly Item[], query: Query): Readonly<Record<string, unknown>> {
  const order = text(query, 'order') ?? 'desc'
  if (order !== 'asc' && order !== 'desc') throw invalid('order', 'it must be asc or desc')
  const limit = integer(query, 'limit', 1, mostItems) ?? usualItems
  const ordered = order === 'asc' ? items : items.toReversed()
  const from = (placeOf(ordered, query, 'after') ?? -1) + 1
  const to = placeOf(ordered, query, 'before') ?? ordered.length
  const within = ordered.slice(from, to)
  const data = within.slice(0, limit)
  return {
    object: 'list',
    data,
    first_id: data[0]?.['id'] ?? '',
    last_id: data.at(-1)?.['id'] ?? '',
    has_more: within.length > data.length,
  }
}

function placeOf(items: readonly Item[], query: Query, name: string): number | undefined {
  const id = text(query, name)
  if (id === undefined) return undefined
  const at = items.findIndex(item => item['id'] === id)
  if (at === -1) throw invalid(name, 'it names no input item of this response')
  return at
}

/** A number of a query. @throws SteleError invalid_value */
export function integer(query: Query, name: string, least: number, most: number): number | undefined {
  const given = text(query, name)
  if (given === undefined) return undefined
  const value = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN
  if (!(value >= least && value <= most))
    throw invalid(name, `it must be a whole number from ${least} to ${most}`)
  return value
}

/** Whether a query says `true`. @throws SteleError invalid_value */
export function flag(query: Query, name: string): boolean {
  const given = text(query, name)
  if (given === undefined || given === 'false') return false
  if (given === 'true') return true
  throw invalid(name, 'it must be true or false')
}

function text(query: Query, name: string): string | undefined {
  const given = query[name]
  if (given === undefined || given === '') return undefined
  if (typeof given !== 'string')
    throw new SteleError('invalid_value', { name, reason: 'send it once' }, { param: name })
  return given
}
