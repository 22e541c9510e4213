import type { FastifyReply } from 'fastify'
import { isFields } from '../model/reply.ts'
import type { AttemptFailure } from './attempt-failure.ts'

/** Tells a failure, in the provider's own words when it refused in OpenAI's shape. @throws SteleError the failure's own */
export function sendFailure(reply: FastifyReply, { error, answer }: AttemptFailure): FastifyReply {
  // It is Stele's key that was refused; a 401 would make the client doubt its own, and trying again is no use.
  if (error.code === 'provider_auth_failed') reply.header('x-should-retry', 'false')
  if (error.code !== 'provider_error' || answer === undefined) throw error
  const { status, headers, body, value } = answer
  reply.headers(headers)
  // Not every number that a provider sends is a status that HTTP knows.
  reply.code(status < 600 ? status : error.status)
  const isOpenAiShaped =
    isFields(value) && isFields(value['error']) && typeof value['error']['message'] === 'string'
  if (isOpenAiShaped) return reply.type('application/json').send(body)
  return reply.send({
    error: { message: error.message, type: 'provider_error', param: null, code: error.code },
  })
}
