import { SteleError } from '../errors.ts'
import { isoTime } from '../model/iso-time.ts'
import { wholeNumber } from '../model/json-object.ts'
import { type ConversationOrder, type ConversationQuery, conversationOrders } from './conversations.ts'
import { dayAt } from './measures.ts'
import { type Dimension, dimensionNames, type ReportQuery } from './report.ts'
import type { TopConversationsInput, UsageInput } from './service.ts'

/** Rows of a report at most. */
const mostRows = 100_000

const usualRows = 1_000
const usualConversations = 10
const mostConversations = 1_000

/** Days that a report is about when nothing is said, the present one included. */
const usualDays = 30
const millisecondsPerDay = 86_400_000

/** @throws SteleError invalid_value */
export function checkedQuery(input: UsageInput, now: number): ReportQuery {
  return {
    ...daysOf(input, now),
    by: checkedDimensions(input.by ?? []),
    only: {
      user: given('user', input.user),
      model: given('model', input.model),
      provider: given('provider', input.provider),
      operation: given('operation', input.operation),
      key: text('key', input.key),
      document_type: text('documentType', input.documentType),
    },
    limit: input.limit === undefined ? usualRows : wholeNumber('limit', input.limit, 1, mostRows),
  }
}

/** @throws SteleError invalid_value */
export function checkedConversationQuery(input: TopConversationsInput, now: number): ConversationQuery {
  const { limit, order = 'cost' } = input
  if (!isOrder(order)) throw invalid('order', `it must be ${Object.keys(conversationOrders).join(', ')}`)
  return {
    ...daysOf(input, now),
    user: given('user', input.user),
    order,
    limit: limit === undefined ? usualConversations : wholeNumber('limit', limit, 1, mostConversations),
  }
}

function isOrder(word: string): word is ConversationOrder {
  return Object.hasOwn(conversationOrders, word)
}

/** Words like those that a report can be asked by. @throws SteleError invalid_value */
export function checkedDimensions(words: readonly string[]): Dimension[] {
  const known: readonly string[] = dimensionNames
  for (const word of words)
    if (!known.includes(word)) throw invalid('by', `it may be ${dimensionNames.join(', ')}`)
  if (new Set(words).size !== words.length) throw invalid('by', 'name each once')
  return words as Dimension[]
}

function daysOf(
  { since, until }: { readonly since?: string | undefined; readonly until?: string | undefined },
  now: number,
): { since: string; until: string } {
  const last = until === undefined ? dayAt(now) : checkedDay('until', until)
  const first =
    since === undefined
      ? dayAt(Math.max(0, Date.parse(last) - (usualDays - 1) * millisecondsPerDay))
      : checkedDay('since', since)
  if (first > last) throw invalid('since', 'it must not be after until')
  return { since: first, until: last }
}

/** A day as such, or the UTC day of a time. */
function checkedDay(name: string, value: string): string {
  const time = typeof value === 'string' ? isoTime(value) : undefined
  if (time === undefined) throw invalid(name, 'it must be a day in UTC such as 2026-01-31')
  return dayAt(time)
}

function given(name: string, value: string | undefined): string | undefined {
  if (value === '') throw invalid(name, 'it must not be empty')
  return text(name, value)
}

function text(name: string, value: string | undefined): string | undefined {
  if (value !== undefined && typeof value !== 'string') throw invalid(name, 'it must be a text')
  return value
}

function invalid(name: string, reason: string): SteleError {
  return new SteleError('invalid_value', { name, reason }, { param: name })
}
