import type { FastifyInstance, FastifyRequest } from 'fastify'
import { conversationOrders } from '../../analytics/conversations.ts'
import { checkedDimensions } from '../../analytics/input.ts'
import { conversationRecord, reportRecord } from '../../analytics/record.ts'
import { SteleError } from '../../errors.ts'
import type { Stele } from '../../stele.ts'
import { integer } from '../responses/paging.ts'
import { wordOf } from './queries.ts'
import { keyOf, needs, userOf } from './request-parts.ts'

type Query = Readonly<Record<string, unknown>>
type Received = FastifyRequest<{ Querystring: Query }>

const orders = Object.keys(conversationOrders) as (keyof typeof conversationOrders)[]

/** What calls took and cost: one's own, another's or everybody's, where one may see that. Nothing here tells what was said. */
export async function usageRoutes(
  app: FastifyInstance,
  { stele: { usage } }: { stele: Pick<Stele, 'usage'> },
): Promise<void> {
  app.get('/v1/usage', needs('usage:read'), async (request: Received) => {
    const { query } = request
    const user = whoseUsage(request)
    const report = await usage.report({
      ...daysOf(query),
      user,
      by: checkedDimensions((wordOf(query, 'by') ?? 'day,model').split(',')),
      model: wordOf(query, 'model'),
      provider: wordOf(query, 'provider'),
      key: wordOf(query, 'key'),
      documentType: wordOf(query, 'document_type'),
      operation: wordOf(query, 'operation'),
      limit: integer(query, 'limit', 1, 1_000) ?? 100,
    })
    const { rows, ...rest } = reportRecord(report)
    return {
      object: 'list',
      user: user ?? null,
      ...rest,
      data: rows.map(row => ({ object: 'usage', ...row })),
      has_more: report.rowCount > report.rows.length,
    }
  })

  app.get('/v1/usage/conversations', needs('usage:read'), async (request: Received) => {
    const { query } = request
    const user = whoseUsage(request)
    const found = await usage.conversations({
      ...daysOf(query),
      user,
      order: wordOf(query, 'order', orders),
      limit: integer(query, 'limit', 1, 1_000) ?? 10,
    })
    return {
      object: 'list',
      user: user ?? null,
      data: found.map(one => ({ object: 'usage.conversation', ...conversationRecord(one) })),
    }
  })
}

/** The user that a request asks about; undefined stands for everybody. @throws SteleError permission_denied, invalid_value */
function whoseUsage(request: Received): string | undefined {
  const { query } = request
  const named = wordOf(query, 'user')
  const asksOfAll = wordOf(query, 'everyone', ['true', 'false']) === 'true'
  if (!asksOfAll) return userOf(request, named)
  if (named !== undefined)
    throw new SteleError(
      'invalid_value',
      { name: 'everyone', reason: 'leave it out when you name a user' },
      { param: 'everyone' },
    )
  if (!keyOf(request).permissions.has('usage:any_user'))
    throw new SteleError(
      'permission_denied',
      { action: 'see what everybody uses: it takes the permission usage:any_user' },
      { param: 'everyone' },
    )
  return undefined
}

function daysOf(query: Query): { since: string | undefined; until: string | undefined } {
  return { since: wordOf(query, 'since'), until: wordOf(query, 'until') }
}
