import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { placeOf } from '../../access/attempts.ts'
import type { LoginSession } from '../../access/sessions.ts'
import { SteleError } from '../../errors.ts'
import { checked, readObject, word } from '../../model/json-body.ts'
import type { Stele } from '../../stele.ts'
import { checkUserId } from '../../store/users.ts'
import { type Access, sessionTimes } from '../access.ts'
import type { ClientSettings } from '../app.ts'
import { checkNotCrossOrigin, setCookie } from '../session-cookie.ts'
import { inClientsTerms } from '../store-failure.ts'
import { keyOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{ Body: Buffer | undefined }>

const email = z.string().regex(/^[^\s@]+@[^\s@]+$/, 'it is no e-mail address')

const registration = z.looseObject({
  user: z.string(),
  password: z.string(),
  email: email.nullish(),
  username: word.nullish(),
})
const login = z.looseObject({ user: z.string(), password: z.string(), new_password: z.string().nullish() })
const change = z.looseObject({ current_password: z.string(), new_password: z.string() })
const logout = z.looseObject({ everywhere: z.boolean().nullish() })

interface Parts {
  readonly stele: Pick<Stele, 'database' | 'logins'>
  readonly access: Access
  readonly settings: ClientSettings
}

/** Accounts of people: making one, logging in and out, passwords. */
export async function authRoutes(app: FastifyInstance, { stele, access, settings }: Parts): Promise<void> {
  const { logins, database } = stele
  const times = sessionTimes(settings)

  const told = inClientsTerms(database)

  /** The session in the body for programs, and in a cookie for browsers. */
  const welcome = (
    request: FastifyRequest,
    reply: FastifyReply,
    session: LoginSession & { token: string },
  ): object => {
    reply.header('set-cookie', setCookie(request, session.token, times.absolute / 1_000))
    reply.header('cache-control', 'no-store')
    return {
      object: 'session',
      id: session.id,
      user: session.userId,
      token: session.token,
      expires_at: seconds(session.expiresAt),
    }
  }

  app.post('/v1/auth/register', needs('public'), async (request: Received, reply) => {
    checkNotCrossOrigin(request)
    if (settings.registration !== 'open') throw new SteleError('registration_closed')
    const given = checked(registration, readObject(request.body ?? ''))
    const userId = checkUserId(given.user)
    const account = {
      userId,
      password: given.password,
      email: given.email ?? undefined,
      username: given.username ?? undefined,
    }
    const place = placeOf(request.ip)
    await told(logins.register(account, place))
    const session = logins.logIn({ name: userId, password: given.password, place, times })
    return welcome(request, reply, await told(session))
  })

  app.post('/v1/auth/login', needs('public'), async (request: Received, reply) => {
    checkNotCrossOrigin(request)
    const given = checked(login, readObject(request.body ?? ''))
    const session = logins.logIn({
      // What no user is called is looked for all the same, so that it takes as long.
      name: given.user.replaceAll('\0', '\ufffd').toWellFormed().slice(0, 512),
      password: given.password.slice(0, 4_096),
      newPassword: given.new_password ?? undefined,
      place: placeOf(request.ip),
      times,
    })
    return welcome(request, reply, await told(session))
  })

  app.get('/v1/auth/session', needs('account'), async (request, reply) => {
    userOf(request)
    const { userId, role, permissions, sessionId, expiresAt, id } = keyOf(request)
    reply.header('cache-control', 'no-store')
    return {
      object: sessionId === undefined ? 'api_key' : 'session',
      id,
      user: userId,
      role,
      permissions: [...permissions].sort(),
      expires_at: expiresAt === undefined ? null : seconds(expiresAt),
    }
  })

  app.post('/v1/auth/logout', needs('account'), async (request: Received, reply) => {
    userOf(request)
    const { userId, sessionId } = keyOf(request)
    const { everywhere } = checked(logout, readObject(request.body ?? '{}'))
    // A key has no session of its own; it can end its user's.
    const isAll = everywhere === true || sessionId === undefined
    const ended = await told(logins.logOut(userId, isAll ? undefined : sessionId))
    access.forget(known => known.userId === userId && known.sessionId !== undefined)
    reply.header('set-cookie', setCookie(request, '', 0))
    return { object: 'session.ended', ended }
  })

  app.post('/v1/auth/password', needs('account'), async (request: Received) => {
    userOf(request)
    const { userId, sessionId } = keyOf(request)
    const given = checked(change, readObject(request.body ?? ''))
    const changed = logins.changePassword({
      userId,
      current: given.current_password,
      next: given.new_password,
      place: placeOf(request.ip),
      session: sessionId,
    })
    await told(changed)
    access.forget(known => known.userId === userId && known.sessionId !== undefined)
    return { object: 'password.changed', user: userId }
  })
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1_000)
}
