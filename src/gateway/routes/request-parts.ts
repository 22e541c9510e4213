import { isUtf8 } from 'node:buffer'
import type { FastifyRequest } from 'fastify'
import { SteleError } from '../../errors.ts'
import type { ApiKey } from '../../store/api-keys.ts'
import { actingUser } from '../access.ts'

/** The key that let a request in. @throws SteleError missing_api_key */
export function keyOf({ apiKey }: FastifyRequest): ApiKey {
  if (apiKey === undefined) throw new SteleError('missing_api_key')
  return apiKey
}

/** The user that a request is about. @throws SteleError permission_denied, invalid_value */
export function userOf(request: FastifyRequest, bodyUser?: string | undefined): string {
  return actingUser(keyOf(request), asText(header(request, 'x-stele-user')), bodyUser)
}

/** A header; undefined when it is empty or not there. */
export function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Node reads headers as Latin-1; clients that can write more than that write UTF-8. */
function asText(value: string | undefined): string | undefined {
  const bytes = Buffer.from(value ?? '', 'latin1')
  return value !== undefined && isUtf8(bytes) ? bytes.toString('utf8') : value
}
