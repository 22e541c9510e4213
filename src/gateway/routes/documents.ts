import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { documentObject } from '../../documents/document-object.ts'
import { documentLookup } from '../../documents/lookup.ts'
import { errorBody, SteleError } from '../../errors.ts'
import { documentIdOf } from '../../ids.ts'
import type { IdempotencyClaim } from '../../model/call.ts'
import { isoTime } from '../../model/iso-time.ts'
import { checked, readObject } from '../../model/json-body.ts'
import { callStore } from '../../store/calls.ts'
import { promptly } from '../../store/contents.ts'
import { documentStatuses, documentStore, type StoredDocument } from '../../store/documents.ts'
import { HttpClient } from '../client.ts'
import { contentAccess } from '../content-access.ts'
import { type AskedDocument, type DocumentOutcome, generateDocument } from '../documents/generate.ts'
import { madeDocument } from '../documents/made-document.ts'
import { createIdempotency, idempotencyKeyOf } from '../idempotency.ts'
import { createMasking } from '../masking/masking.ts'
import { integer } from '../responses/paging.ts'
import { sendFailure } from '../send-failure.ts'
import { inClientsTerms } from '../store-failure.ts'
import type { AnsweringParts } from './answering.ts'
import { invalid, listOf } from './paging.ts'
import { wordOf } from './queries.ts'
import { keyOf, needs, userOf } from './request-parts.ts'

/** One name for the type that is asked for and for the document that is looked up: they stand in the same place. */
type Received = FastifyRequest<{
  Params: { document: string }
  Querystring: Readonly<Record<string, unknown>>
  Body: Buffer | undefined
}>

const path = '/v1/documents'

const generation = z.looseObject({
  input: z.record(z.string(), z.unknown()).nullish(),
  version: z.string().nullish(),
  regenerates: z.string().nullish(),
  user: z.string().nullish(),
})

/** Documents: made by a model as their type says, listed, looked up with all that were made in their place, deleted. */
export async function documentRoutes(app: FastifyInstance, parts: AnsweringParts): Promise<void> {
  const { stele, providers, state, settings } = parts
  const { database } = stele
  const reading = promptly(database)
  const documents = documentStore(reading)
  const calls = callStore(reading)
  const lookup = documentLookup(database, reading)
  const idempotency = createIdempotency(stele, state, settings)
  const content = contentAccess(stele)
  const maskingOf = createMasking(settings)

  const told = inClientsTerms(database)

  const make = async (asked: AskedDocument, reply: FastifyReply): Promise<FastifyReply> => {
    const client = new HttpClient(reply)
    try {
      const outcome = await generateDocument(parts, asked, client)
      return await tell(outcome, asked, reply)
    } finally {
      client.release()
    }
  }

  const tell = async (
    { id, error, failure, output }: DocumentOutcome,
    asked: AskedDocument,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    reply.header('x-stele-document-id', id)
    if (failure !== undefined) return sendFailure(reply, failure)
    if (error !== undefined) return refuse(error, reply)
    // While the database is away the record waits, and is told from what is known.
    const known = await documents.get(asked.userId, id).catch(() => undefined)
    return reply.send(documentObject(madeDocument(asked, { id, output }, known)))
  }

  /** Tells how a document ended that its key stands for. */
  const repeat = async (userId: string, callId: string, reply: FastifyReply): Promise<FastifyReply> => {
    const call = await told(calls.get(userId, callId))
    const document = await told(documents.get(userId, documentIdOf(call?.groupId ?? callId)))
    if (document === undefined) throw new SteleError('content_not_kept')
    reply.headers({
      'x-stele-call-id': callId,
      'x-stele-document-id': document.id,
      'idempotent-replayed': 'true',
    })
    if (document.status === 'completed') {
      if (document.output === undefined) throw new SteleError('content_not_kept')
      return reply.send(documentObject(document))
    }
    // Another call is about to be made for it, or was to be when its process died.
    if (document.status === 'in_progress')
      throw new SteleError('idempotency_key_in_use', {}, { param: 'idempotency-key' })
    if (document.status === 'failed') throw new SteleError('call_orphaned', { call: callId })
    const { type, errorMessage } = document
    return refuse(new SteleError('document_invalid', { type, problems: errorMessage ?? 'not kept' }), reply)
  }

  app.post(`${path}/:document`, needs('calls:make'), async (request: Received, reply) => {
    const { document: type } = request.params
    const apiKey = keyOf(request)
    const body = readObject(request.body ?? '')
    const given = checked(generation, body)
    const userId = userOf(request, given.user ?? undefined)
    const regenerates = given.regenerates ?? undefined
    if (regenerates !== undefined) await content.mayUse(request, userId)
    const found = await told(
      lookup.find({
        userId,
        type,
        version: given.version ?? undefined,
        input: given.input ?? undefined,
        regenerates,
      }),
    )
    const targets = providers.targets(found.model)
    await content.mayAsk(request, userId, targets)
    const masking = maskingOf(request, apiKey)
    const asked = { ...found, userId, apiKeyId: apiKey.id, previousId: regenerates, targets, masking }
    return idempotency.once(
      idempotencyKeyOf(request.raw),
      {
        callId: request.id,
        userId,
        request: { body: { text: `document ${JSON.stringify([type, body.text])}` } },
        conversationId: undefined,
      },
      reply,
      (callId: string, claim: IdempotencyClaim | undefined) => make({ ...asked, callId, claim }, reply),
      async call => {
        await content.mayRepeat(request, userId, call.callId)
        return repeat(userId, call.callId, reply)
      },
    )
  })

  app.get(path, needs('content:read'), async (request: Received) => {
    const { query } = request
    const userId = userOf(request, wordOf(query, 'user'))
    const limit = integer(query, 'limit', 1, 100) ?? 20
    const before = wordOf(query, 'before')
    const after = wordOf(query, 'after')
    const found = await told(
      documents.list({
        userId,
        limit: limit + 1,
        order: wordOf(query, 'order', ['asc', 'desc']),
        type: wordOf(query, 'type'),
        version: wordOf(query, 'version'),
        status: wordOf(query, 'status', documentStatuses),
        from: timeOf(query, 'from'),
        to: timeOf(query, 'to'),
        after,
        before,
      }),
    )
    const isBackwards = before !== undefined && after === undefined
    const page = isBackwards ? found.slice(-limit) : found.slice(0, limit)
    return listOf(page.map(documentObject) as { id?: unknown }[], found.length > limit)
  })

  /** The document that a path names. */
  const find = async (request: Received): Promise<StoredDocument> => {
    const { document: id } = request.params
    const document = await told(documents.get(userOf(request), id))
    if (document === undefined) throw new SteleError('document_not_found', { document: id })
    return document
  }

  app.get(`${path}/:document`, needs('content:read'), async (request: Received) =>
    documentObject(await find(request)),
  )

  app.get(`${path}/:document/history`, needs('content:read'), async (request: Received) => {
    const { id, userId } = await find(request)
    const all = await told(documents.history(userId, id))
    return listOf(all.map(documentObject) as { id?: unknown }[], false)
  })

  app.delete(`${path}/:document`, needs('content:write'), async (request: Received) => {
    const { id, userId } = await find(request)
    await stele.documents.delete(userId, id, { apiKeyId: keyOf(request).id })
    return { id, object: 'document.deleted', deleted: true }
  })
}

/** Told without being raised: what did not fit may quote what was said, and what is raised is logged. */
function refuse(error: SteleError, reply: FastifyReply): FastifyReply {
  if (error.code !== 'document_invalid') throw error
  return reply.code(error.status).send(errorBody(error))
}

function timeOf(query: Received['query'], name: string): number | undefined {
  const text = wordOf(query, name)
  const time = text === undefined ? undefined : isoTime(text)
  if (text !== undefined && time === undefined)
    throw invalid(name, 'it must be an ISO 8601 date, or a date with a time')
  return time
}
