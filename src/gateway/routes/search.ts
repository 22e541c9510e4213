import type { FastifyInstance } from 'fastify'
import { SteleError } from '../../errors.ts'
import { isoTime } from '../../model/iso-time.ts'
import type { SearchedRole } from '../../model/searched-text.ts'
import type { Stele } from '../../stele.ts'
import type { SearchHit } from '../../store/search.ts'
import { inClientsTerms } from '../store-failure.ts'
import { needs, userOf } from './request-parts.ts'

const names = ['query', 'user', 'conversation', 'role', 'from', 'to', 'limit', 'cursor'] as const

type Parameters = { [N in (typeof names)[number]]?: string | undefined }

/** `GET /v1/search?query=…`: a page of what the acting user's conversations hold, as a list like OpenAI's. */
export async function searchRoute(app: FastifyInstance, { stele }: { stele: Stele }): Promise<void> {
  const told = inClientsTerms(stele.database)
  app.get<{ Querystring: Readonly<Record<string, unknown>> }>(
    '/v1/search',
    needs('content:read'),
    async request => {
      const { query, user, conversation, role, from, to, limit, cursor } = parametersOf(request.query)
      if (query === undefined)
        throw new SteleError('missing_required_parameter', { name: 'query' }, { param: 'query' })
      const userId = userOf(request, user)
      const page = await told(
        stele.search({
          userId,
          query,
          conversationId: conversation,
          // What is no role is refused by the search itself.
          role: role as SearchedRole | undefined,
          from: timeOf('from', from),
          to: timeOf('to', to),
          limit: limit === undefined ? undefined : Number(limit),
          cursor,
        }),
      )
      return {
        object: 'list',
        data: page.hits.map(toWire),
        has_more: page.cursor !== undefined,
        next_cursor: page.cursor ?? null,
        is_complete: page.isComplete,
      }
    },
  )
}

function toWire(hit: SearchHit): object {
  return {
    object: 'search.hit',
    conversation_id: hit.conversationId,
    message_id: hit.messageId,
    seq: hit.seq,
    role: hit.role,
    created_at: Math.floor(hit.createdAt / 1000),
    title: hit.title ?? null,
    snippet: hit.snippet,
    rank: hit.rank,
  }
}

/** @throws SteleError invalid_value for one that is given twice, or that there is not */
function parametersOf(given: Readonly<Record<string, unknown>>): Parameters {
  const parameters: Parameters = {}
  for (const [name, value] of Object.entries(given)) {
    const known = names.find(one => one === name)
    if (known === undefined) throw invalid(name, `there is no such parameter; there are ${names.join(', ')}.`)
    if (typeof value !== 'string') throw invalid(name, 'it is given more than once.')
    if (value !== '') parameters[known] = value
  }
  return parameters
}

function timeOf(name: string, text: string | undefined): number | undefined {
  const time = text === undefined ? undefined : isoTime(text)
  if (text !== undefined && time === undefined)
    throw invalid(name, 'it must be an ISO 8601 date, or a date with a time.')
  return time
}

function invalid(name: string, reason: string): SteleError {
  return new SteleError('invalid_value', { name, reason }, { param: name })
}
