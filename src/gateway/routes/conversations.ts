import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { isId } from '../../ids.ts'
import { conversationItemLibrary } from '../../library/conversation-items.ts'
import { conversationLibrary } from '../../library/conversations.ts'
import { checked, readObject } from '../../model/json-body.ts'
import { metadata } from '../../model/metadata.ts'
import type { Stele } from '../../stele.ts'
import { promptly } from '../../store/contents.ts'
import type { Conversation } from '../../store/conversations.ts'
import { messageStore } from '../../store/messages.ts'
import type { ClientSettings } from '../app.ts'
import { idempotentAppends } from '../idempotent-append.ts'
import { createMaskedInput } from '../masking/masked-input.ts'
import { integer } from '../responses/paging.ts'
import { inClientsTerms } from '../store-failure.ts'
import { checkIncluded, wordOf } from './queries.ts'
import { keyOf, needs, userOf } from './request-parts.ts'

const mostItems = 20
/** Messages of a conversation whose placeholders are looked at before anything is added to it. */
const mostRead = 10_000
const usualPage = 20
const longestPage = 100

const items = z
  .array(z.unknown())
  .max(mostItems, `${mostItems} items are the most at a time`)
  .pipe(z.array(z.looseObject({})))

/** Stele's own: the name by which it is listed among the user's sessions. */
const session_id = z.string().nullish()

const creation = z.looseObject({ metadata, session_id, items: items.nullish() })
const change = z.looseObject({ metadata, session_id })
const addition = z.looseObject({ items })

type Received = FastifyRequest<{
  Params: { id: string; item: string }
  Querystring: Readonly<Record<string, unknown>>
  Body: Buffer | undefined
}>

/** OpenAI's Conversations API. Its items are the messages that calls bring, and what clients add. */
export async function conversationRoutes(
  app: FastifyInstance,
  { stele, settings }: { stele: Stele; settings: ClientSettings },
): Promise<void> {
  const { database, recorder } = stele
  const prompt = promptly(database)
  const conversations = conversationLibrary(prompt, recorder)
  const conversationItems = conversationItemLibrary(prompt, recorder)
  const once = idempotentAppends(stele, settings)
  const messages = messageStore(prompt)
  const maskedInput = createMaskedInput(settings)

  const told = inClientsTerms(database)

  const present = async (userId: string, id: string): Promise<Conversation> => {
    const conversation = isId('conversation', id) ? await told(conversations.get(userId, id)) : undefined
    if (conversation === undefined)
      throw new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
    return conversation
  }

  app.post('/v1/conversations', needs('content:write'), async (request: Received, reply) => {
    const userId = userOf(request)
    // A client that has nothing to say of it sends no body.
    const given = checked(creation, readObject(await maskedInput(request, request.body ?? '{}')))
    const wanted = {
      userId,
      ...(given.metadata == null ? {} : { metadata: given.metadata }),
      ...(given.session_id == null ? {} : { sessionId: given.session_id }),
      items: given.items ?? [],
      apiKeyId: keyOf(request).id,
    }
    const made = await once(
      request,
      reply,
      { userId, target: 'conversations' },
      claim => told(conversations.create(wanted, claim)),
      id => present(userId, id),
    )
    return send(reply, resourceOf(made))
  })

  app.get('/v1/conversations/:id', needs('content:read'), async (request: Received, reply) =>
    send(reply, resourceOf(await present(userOf(request), request.params.id))),
  )

  app.post('/v1/conversations/:id', needs('content:write'), async (request: Received, reply) => {
    const userId = userOf(request)
    const given = checked(change, readObject(await maskedInput(request, request.body ?? '')))
    if (given.metadata === undefined && given.session_id === undefined)
      throw new SteleError('missing_required_parameter', { name: 'metadata' }, { param: 'metadata' })
    const changed = {
      ...(given.metadata === undefined ? {} : { metadata: given.metadata }),
      ...(given.session_id === undefined ? {} : { sessionId: given.session_id }),
    }
    const apiKeyId = keyOf(request).id
    const updated = conversations.update(userId, request.params.id, changed, { apiKeyId })
    return send(reply, resourceOf(await told(updated)))
  })

  app.delete('/v1/conversations/:id', needs('content:write'), async (request: Received, reply) => {
    const userId = userOf(request)
    const { id } = await present(userId, request.params.id)
    await told(conversations.delete(userId, id, { apiKeyId: keyOf(request).id }))
    return send(reply, { id, object: 'conversation.deleted', deleted: true })
  })

  app.post('/v1/conversations/:id/items', needs('content:write'), async (request: Received, reply) => {
    const userId = userOf(request)
    checkIncluded(request.query)
    const conversationId = request.params.id
    const body = await maskedInput(request, request.body ?? '', async () => {
      await present(userId, conversationId)
      return told(messages.list({ userId, conversationId, limit: mostRead }))
    })
    const given = checked(addition, readObject(body))
    if (given.items.length === 0)
      throw new SteleError('invalid_value', { name: 'items', reason: 'there is none' }, { param: 'items' })
    const wanted = { userId, conversationId, items: given.items, apiKeyId: keyOf(request).id }
    const added = await once(
      request,
      reply,
      { userId, target: `items of ${conversationId}` },
      claim => told(conversationItems.create(wanted, claim)),
      id => told(conversationItems.added(wanted, id)),
    )
    return send(reply, listOf(added, false))
  })

  app.get('/v1/conversations/:id/items', needs('content:read'), async (request: Received, reply) => {
    const userId = userOf(request)
    const { query, params } = request
    checkIncluded(query)
    const asked = {
      userId,
      conversationId: params.id,
      limit: integer(query, 'limit', 1, longestPage) ?? usualPage,
      order: wordOf(query, 'order', ['asc', 'desc']) ?? 'desc',
      after: wordOf(query, 'after'),
    }
    const { items, hasMore } = await told(conversationItems.list(asked))
    return send(reply, listOf(items, hasMore))
  })

  app.get('/v1/conversations/:id/items/:item', needs('content:read'), async (request: Received, reply) => {
    const { id, item } = request.params
    const userId = userOf(request)
    checkIncluded(request.query)
    return send(reply, await told(conversationItems.get(userId, id, item)))
  })

  app.delete(
    '/v1/conversations/:id/items/:item',
    needs('content:write'),
    async (request: Received, reply) => {
      const { id, item } = request.params
      const userId = userOf(request)
      await told(conversationItems.delete(userId, id, item, { apiKeyId: keyOf(request).id }))
      return send(reply, resourceOf(await present(userId, id)))
    },
  )
}

/** A conversation as OpenAI writes it. What an application keeps with it that is no text is given as JSON text. */
function resourceOf({ id, createdAt, metadata = {} }: Conversation): object {
  const pairs = Object.entries(metadata).map(([key, value]) => [
    key,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  return {
    id,
    object: 'conversation',
    created_at: Math.floor(createdAt / 1000),
    metadata: Object.fromEntries(pairs),
  }
}

function listOf(data: readonly { readonly id: string }[], hasMore: boolean): object {
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? '',
    last_id: data.at(-1)?.id ?? '',
    has_more: hasMore,
  }
}

function send(reply: FastifyReply, value: object): FastifyReply {
  return reply.type('application/json').send(JSON.stringify(value))
}
