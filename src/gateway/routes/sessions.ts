import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { isId } from '../../ids.ts'
import { conversationLibrary } from '../../library/conversations.ts'
import { textOf } from '../../model/auto-title.ts'
import { checked, readObject } from '../../model/json-body.ts'
import { columnText } from '../../model/json-object.ts'
import { anybody } from '../../model/own-users.ts'
import { itemRole } from '../../model/responses/given-items.ts'
import { invalid } from '../../model/responses/request.ts'
import { promptly } from '../../store/contents.ts'
import type { Conversation, ListPlace } from '../../store/conversations.ts'
import { type Message, messageStore } from '../../store/messages.ts'
import { checkUserId } from '../../store/users.ts'
import { isOfService } from '../access.ts'
import { integer } from '../responses/paging.ts'
import { sessionChat } from '../sessions/chat.ts'
import { inClientsTerms } from '../store-failure.ts'
import type { AnsweringParts } from './answering.ts'
import { wordOf } from './queries.ts'
import { keyOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{
  Params: { user: string; session: string }
  Querystring: Readonly<Record<string, unknown>>
  Body: Buffer | undefined
}>

const usualPage = 100
const longestPage = 1_000

/** Messages of a history that are read at a time. */
const chapter = 500

const anySession = 'default'

const turn = z.looseObject({
  user_text: z
    .string()
    .min(1)
    .refine(text => text.isWellFormed(), 'it holds half a surrogate pair'),
  user_id: z.string().nullish(),
  session_id: z.string().nullish(),
})

/** Chats whose history is kept here: users, their sessions and what was said in them. */
export async function sessionRoutes(app: FastifyInstance, parts: AnsweringParts): Promise<void> {
  const { database, recorder } = parts.stele
  const prompt = promptly(database)
  const conversations = conversationLibrary(prompt, recorder)
  const messages = messageStore(prompt)
  const chat = sessionChat(parts)

  const told = inClientsTerms(database)

  app.post('/chat', needs('calls:make'), async (request: Received, reply) => {
    const key = keyOf(request)
    const given = checked(turn, readObject(request.body ?? ''))
    const named = given.user_id == null ? undefined : checkUserId(given.user_id, 'user_id')
    const userId = userOf(request, named ?? (isOfService(key) ? anybody : undefined))
    const sessionId = checkSession(given.session_id ?? anySession)
    return chat(request, { userId, sessionId, text: given.user_text }, key.id, reply)
  })

  const list = async (
    userId: string,
    query: Received['query'],
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const limit = integer(query, 'limit', 1, longestPage) ?? usualPage
    const before = placeOf(wordOf(query, 'after'))
    const found = await told(conversations.list({ userId, recent: true, limit: limit + 1, before }))
    const page = found.slice(0, limit)
    const last = page.at(-1)
    const next = found.length > limit && last !== undefined ? cursorOf(last) : null
    return send(reply, { user_id: userId, sessions: page.map(sessionOf), next })
  }

  app.get('/sessions', needs('content:read'), (request: Received, reply) =>
    list(userOf(request), request.query, reply),
  )

  app.get('/sessions/:user', needs('content:read'), (request: Received, reply) =>
    list(pathUser(request), request.query, reply),
  )

  app.get('/history/:user/:session', needs('content:read'), async (request: Received, reply) => {
    const userId = pathUser(request)
    const sessionId = checkSession(request.params.session)
    const conversation = await told(conversations.bySession(userId, sessionId))
    const said: object[] = []
    for (let after = -1; conversation !== undefined; ) {
      const page = { userId, conversationId: conversation.id, limit: chapter, after }
      const read = await told(messages.list(page))
      said.push(...read.flatMap(spoken))
      after = read.at(-1)?.seq ?? after
      if (read.length < chapter) break
      // A long history keeps nobody waiting, where a database is read in this very thread.
      await setImmediate()
    }
    return send(reply, { user_id: userId, session_id: sessionId, messages: said })
  })

  app.delete('/sessions/:user/:session', needs('content:write'), async (request: Received, reply) => {
    const userId = pathUser(request)
    const sessionId = checkSession(request.params.session)
    const conversation = await told(conversations.bySession(userId, sessionId))
    if (conversation !== undefined)
      await told(conversations.delete(userId, conversation.id, { apiKeyId: keyOf(request).id }))
    return send(reply, { status: 'deleted', user_id: userId, session_id: sessionId })
  })
}

/** The user that a path names, if its key may act for it. @throws SteleError permission_denied, invalid_value */
function pathUser(request: Received): string {
  const userId = checkUserId(request.params.user, 'user_id')
  // Whom a header names outranks the path.
  if (userOf(request, userId) !== userId)
    throw new SteleError(
      'permission_denied',
      { action: 'ask for one user in the name of another' },
      { param: 'user_id' },
    )
  return userId
}

/** @throws SteleError invalid_value */
function checkSession(sessionId: string): string {
  return columnText('session_id', sessionId, { least: 1, most: 256 })
}

function sessionOf({ sessionId, createdAt, updatedAt, displayTitle }: Conversation): object {
  return {
    session_id: sessionId,
    created_at: isoTime(createdAt),
    last_accessed: isoTime(updatedAt),
    title: displayTitle ?? null,
  }
}

/** What a message says; nothing of one that only holds items without words. */
function spoken({ role, raw }: Message): object[] {
  if (role === itemRole) return []
  const { content, refusal } = JSON.parse(raw) as Readonly<Record<string, unknown>>
  const said = textOf(content)
  return [{ role, content: said === '' && typeof refusal === 'string' ? refusal : said }]
}

function isoTime(time: number): string {
  return new Date(time).toISOString()
}

/** A place in a list that stays the same when sessions before it are used. */
function cursorOf({ updatedAt, id }: Conversation): string {
  return `${updatedAt}.${id}`
}

/** @throws SteleError invalid_value */
function placeOf(cursor: string | undefined): ListPlace | undefined {
  if (cursor === undefined) return undefined
  const [, time = '', id = ''] = /^(\d{1,15})\.(.+)$/.exec(cursor) ?? []
  if (!isId('conversation', id)) throw invalid('after', "it is no 'next' of a page")
  return { updatedAt: Number(time), id }
}

function send(reply: FastifyReply, value: object): FastifyReply {
  return reply.type('application/json').send(JSON.stringify(value))
}
