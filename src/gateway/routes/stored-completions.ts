import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { checked, readObject } from '../../model/json-body.ts'
import { metadata } from '../../model/metadata.ts'
import { completionFromEvents, completionObject, listedMessages } from '../../model/stored-completion.ts'
import { unlessNotKept } from '../../privacy/content.ts'
import { isEventStream } from '../../providers/provider.ts'
import type { Stele } from '../../stele.ts'
import { callStore } from '../../store/calls.ts'
import { promptly } from '../../store/contents.ts'
import { type StoredCompletion, storedCompletionStore } from '../../store/stored-completions.ts'
import { createMaskedInput } from '../masking/masked-input.ts'
import type { MaskingSettings } from '../masking/masking.ts'
import { inClientsTerms } from '../store-failure.ts'
import { invalid, listOf, pageOf, parameter, type Query } from './paging.ts'
import { keyOf, needs, userOf } from './request-parts.ts'

const path = '/v1/chat/completions'

const updateBody = z.looseObject({ metadata })

interface OfOne {
  Params: { id: string }
  Querystring: Query
  Body: Buffer | undefined
}

/** The chat completions that a user's clients asked to be stored: list, look up, change, delete, and their messages. */
export async function storedCompletionRoutes(
  app: FastifyInstance,
  { stele, settings }: { stele: Stele; settings: MaskingSettings },
): Promise<void> {
  const { database, recorder } = stele
  const completions = storedCompletionStore(promptly(database))
  const calls = callStore(promptly(database))
  const maskedInput = createMaskedInput(settings)

  const told = inClientsTerms(database)

  /** The completion that a path names. */
  const find = async (userId: string, { method, url, params: { id } }: FastifyRequest<OfOne>) => {
    // A path that ends before the id is none of these.
    if (id === '') throw new SteleError('route_not_found', { method, path: url.split('?', 1)[0] ?? '' })
    const completion = await told(completions.get(userId, id))
    if (completion === undefined) throw new SteleError('completion_not_found', { completion: id })
    return completion
  }

  const objectOf = async (userId: string, completion: StoredCompletion): Promise<object> => {
    const call = await told(calls.get(userId, completion.callId))
    const body = await told(calls.exactResponse(userId, completion.callId).catch(unlessNotKept))
    if (body === undefined) return completionObject(undefined, completion)
    const isStream = isEventStream(call?.contentType ?? '')
    return completionObject(
      isStream ? completionFromEvents(body) : (JSON.parse(body.toString('utf8')) as Record<string, unknown>),
      completion,
    )
  }

  app.get(path, needs('content:read'), async (request: FastifyRequest<{ Querystring: Query }>) => {
    const userId = userOf(request)
    const { limit, order, after } = pageOf(request.query)
    const model = parameter(request.query, 'model')
    const pairs = metadataFilter(request.query)
    const afterCall = after === undefined ? undefined : await told(completions.callOf(userId, after))
    if (after !== undefined && afterCall === undefined) throw invalid('after', 'there is no such completion')
    const found = await told(
      completions.list({ userId, limit: limit + 1, order, afterCall, model, metadata: pairs }),
    )
    const shown = found.slice(0, limit)
    const data = await Promise.all(shown.map(completion => objectOf(userId, completion)))
    return listOf(data, found.length > limit)
  })

  app.get<OfOne>(`${path}/:id`, needs('content:read'), async request => {
    const userId = userOf(request)
    return objectOf(userId, await find(userId, request))
  })

  app.post<OfOne>(`${path}/:id`, needs('content:write'), async request => {
    const userId = userOf(request)
    const completion = await find(userId, request)
    const body = readObject(await maskedInput(request, request.body ?? ''))
    if (!Object.hasOwn(body.value, 'metadata'))
      throw new SteleError('missing_required_parameter', { name: 'metadata' }, { param: 'metadata' })
    const pairs = checked(updateBody, body).metadata ?? {}
    const { id, callId } = completion
    const change = { metadata: JSON.stringify(pairs) }
    await recorder.relist({ userId, id, callId, change, apiKeyId: keyOf(request).id })
    return objectOf(userId, { ...completion, metadata: pairs })
  })

  app.delete<OfOne>(`${path}/:id`, needs('content:write'), async request => {
    const userId = userOf(request)
    const { id, callId } = await find(userId, request)
    await recorder.relist({ userId, id, callId, change: { deletedAt: Date.now() } })
    return { object: 'chat.completion.deleted', id, deleted: true }
  })

  app.get<OfOne>(`${path}/:id/messages`, needs('content:read'), async request => {
    const userId = userOf(request)
    const { id, callId } = await find(userId, request)
    const { limit, order, after } = pageOf(request.query)
    const sent = await told(calls.exactRequest(userId, callId))
    const messages = listedMessages(JSON.parse(sent.toString('utf8')) as Record<string, unknown>, id)
    const ordered = order === 'asc' ? messages : messages.toReversed()
    const at = ordered.findIndex(message => message['id'] === after)
    if (after !== undefined && at === -1) throw invalid('after', 'there is no such message')
    const rest = ordered.slice(at + 1)
    return listOf(rest.slice(0, limit), rest.length > limit)
  })
}

/** `metadata[key]=value`, as many as are given. @throws SteleError invalid_value */
function metadataFilter(query: Query): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>()
  for (const [name, value] of Object.entries(query)) {
    // What OpenAI's client makes of a filter that is null.
    if (name === 'metadata' && value === '') continue
    if (name === 'metadata') throw invalid('metadata', 'name a key: metadata[key]=value')
    const key = /^metadata\[(.*)\]$/s.exec(name)?.[1]
    if (key === undefined) continue
    if (typeof value !== 'string') throw invalid(name, 'it is given more than once')
    pairs.set(key, value)
  }
  if (pairs.size > 16) throw invalid('metadata', '16 pairs are the most')
  return pairs
}
