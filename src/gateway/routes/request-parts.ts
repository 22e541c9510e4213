import { isUtf8 } from 'node:buffer'
import type { FastifyRequest } from 'fastify'
import { SteleError } from '../../errors.ts'
import { isId } from '../../ids.ts'
import { type Permission, reachOf } from '../../model/permissions.ts'
import type { Actor } from '../../store/audit-events.ts'
import { actingUser, type Principal } from '../access.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a route takes; without it the gateway does not start. */
    permission?: Permission
  }
}

/** The options of a route that takes this permission. */
export function needs(permission: Permission): { readonly config: { readonly permission: Permission } } {
  return { config: { permission } }
}

/** The key that let a request in. @throws SteleError missing_api_key */
export function keyOf({ apiKey }: FastifyRequest): Principal {
  if (apiKey === undefined) throw new SteleError('missing_api_key')
  return apiKey
}

/** Who sent a request, as audit events name them. */
export function actorOf(request: FastifyRequest): Actor {
  return { userId: keyOf(request).userId }
}

/**
 * The user that a request is about: one's own, or whom it names if that is allowed on this route.
 * @throws SteleError permission_denied, invalid_value
 */
export function userOf(request: FastifyRequest, bodyUser?: string | undefined): string {
  const key = keyOf(request)
  const named = asText(header(request, 'x-stele-user'))
  const { opened } = request
  if (opened !== undefined && (named ?? bodyUser) === opened) return opened
  const { permission } = request.routeOptions.config
  const any = permission === undefined ? undefined : reachOf(permission)
  return actingUser(key, named, bodyUser, any !== undefined && key.permissions.has(any))
}

/** The conversation that a request says it belongs to. @throws SteleError conversation_not_found */
export function namedConversation(request: FastifyRequest): string | undefined {
  const name = 'x-stele-conversation'
  const id = header(request, name)
  if (id === undefined || isId('conversation', id)) return id
  throw new SteleError('conversation_not_found', { conversation: id }, { param: name })
}

/** A header; undefined when it is empty or not there. */
export function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Node reads headers as Latin-1; clients that can write more than that write UTF-8. */
export function asText(value: string | undefined): string | undefined {
  const bytes = Buffer.from(value ?? '', 'latin1')
  return value !== undefined && isUtf8(bytes) ? bytes.toString('utf8') : value
}
