import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { isId } from '../../ids.ts'
import { conversationItemLibrary } from '../../library/conversation-items.ts'
import { conversationLibrary } from '../../library/conversations.ts'
import { checked, readObject } from '../../model/json-body.ts'
import { metadata } from '../../model/metadata.ts'
import type { Stele } from '../../stele.ts'
import type { Conversation } from '../../store/conversations.ts'
import { messageStore } from '../../store/messages.ts'
import { createMaskedInput } from '../masking/masked-input.ts'
import type { MaskingSettings } from '../masking/masking.ts'
import { integer } from '../responses/paging.ts'
import { storeFailure } from '../store-failure.ts'
import { checkIncluded, wordOf } from './queries.ts'
import { userOf } from './request-parts.ts'

const mostItems = 20
/** Messages of a conversation whose placeholders are looked at before anything is added to it. */
const mostRead = 10_000
const usualPage = 20
const longestPage = 100

const items = z.array(z.looseObject({})).max(mostItems, `${mostItems} items are the most at a time`)

const creation = z.looseObject({ metadata, items: items.nullish() })
const change = z.looseObject({ metadata })
const addition = z.looseObject({ items })

type Received = FastifyRequest<{
  Params: { id: string; item: string }
  Querystring: Readonly<Record<string, unknown>>
  Body: Buffer | undefined
}>

/** OpenAI's Conversations API. Its items are the messages that calls bring, and what clients add. */
export async function conversationRoutes(
  app: FastifyInstance,
  { stele, settings }: { stele: Pick<Stele, 'database' | 'recorder'>; settings: MaskingSettings },
): Promise<void> {
  const { database, recorder } = stele
  const prompt = { kysely: database.prompt }
  const conversations = conversationLibrary(prompt, recorder)
  const conversationItems = conversationItemLibrary(prompt, recorder)
  const messages = messageStore(prompt)
  const maskedInput = createMaskedInput(settings)

  const told = <T>(work: Promise<T>): Promise<T> =>
    work.catch(cause => Promise.reject(storeFailure(database, cause)))

  const present = async (userId: string, id: string): Promise<Conversation> => {
    const conversation = isId('conversation', id) ? await told(conversations.get(userId, id)) : undefined
    if (conversation === undefined)
      throw new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
    return conversation
  }

  app.post('/v1/conversations', async (request: Received, reply) => {
    const userId = userOf(request)
    // A client that has nothing to say of it sends no body.
    const given = checked(creation, readObject(await maskedInput(request, request.body ?? '{}')))
    const made = conversations.create({
      userId,
      ...(given.metadata == null ? {} : { metadata: given.metadata }),
      items: given.items ?? [],
    })
    return send(reply, resourceOf(await told(made)))
  })

  app.get('/v1/conversations/:id', async (request: Received, reply) =>
    send(reply, resourceOf(await present(userOf(request), request.params.id))),
  )

  app.post('/v1/conversations/:id', async (request: Received, reply) => {
    const userId = userOf(request)
    const given = checked(change, readObject(await maskedInput(request, request.body ?? '')))
    if (given.metadata === undefined)
      throw new SteleError('missing_required_parameter', { name: 'metadata' }, { param: 'metadata' })
    const changed = conversations.update(userId, request.params.id, { metadata: given.metadata ?? null })
    return send(reply, resourceOf(await told(changed)))
  })

  app.delete('/v1/conversations/:id', async (request: Received, reply) => {
    const userId = userOf(request)
    const { id } = await present(userId, request.params.id)
    await told(conversations.delete(userId, id))
    return send(reply, { id, object: 'conversation.deleted', deleted: true })
  })

  app.post('/v1/conversations/:id/items', async (request: Received, reply) => {
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
    const added = await told(conversationItems.create({ userId, conversationId, items: given.items }))
    return send(reply, listOf(added, false))
  })

  app.get('/v1/conversations/:id/items', async (request: Received, reply) => {
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

  app.get('/v1/conversations/:id/items/:item', async (request: Received, reply) => {
    const { id, item } = request.params
    const userId = userOf(request)
    checkIncluded(request.query)
    return send(reply, await told(conversationItems.get(userId, id, item)))
  })

  app.delete('/v1/conversations/:id/items/:item', async (request: Received, reply) => {
    const { id, item } = request.params
    const userId = userOf(request)
    await told(conversationItems.delete(userId, id, item))
    return send(reply, resourceOf(await present(userId, id)))
  })
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
