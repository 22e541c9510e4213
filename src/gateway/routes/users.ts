import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { checked, readObject, word } from '../../model/json-body.ts'
import { mayGive, permissionsOfRole } from '../../model/permissions.ts'
import type { Stele } from '../../stele.ts'
import { checkUserId, type User, userStatuses } from '../../store/users.ts'
import type { Access } from '../access.ts'
import { integer } from '../responses/paging.ts'
import { inClientsTerms } from '../store-failure.ts'
import { listOf } from './paging.ts'
import { wordOf } from './queries.ts'
import { actorOf, keyOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{
  Params: { id: string }
  Querystring: Readonly<Record<string, unknown>>
  Body: Buffer | undefined
}>

/** A service reads for its users, so only whoever has the machine makes one. */
const givenRoles = ['member', 'auditor', 'admin'] as const

const creation = z.looseObject({
  user: z.string(),
  password: z.string().nullish(),
  email: z
    .string()
    .regex(/^[^\s@]+@[^\s@]+$/, 'it is no e-mail address')
    .nullish(),
  username: word.nullish(),
  role: z.enum(givenRoles).nullish(),
})
const change = z.looseObject({ role: z.enum(givenRoles).nullish(), status: z.enum(userStatuses).nullish() })

interface Parts {
  readonly stele: Pick<Stele, 'users' | 'logins' | 'database'>
  readonly access: Access
}

/** @throws SteleError permission_denied where a role may do what whoever gives it may not */
function checkGiven(request: FastifyRequest, role: (typeof givenRoles)[number] | null | undefined): void {
  if (role == null || mayGive(keyOf(request).permissions, permissionsOfRole(role))) return
  const action = `give the role ${role}, which may do more than itself`
  throw new SteleError('permission_denied', { action }, { param: 'role' })
}

/** Users, for administrators: who there is, what they are, whether they are let in. */
export async function userRoutes(app: FastifyInstance, { stele, access }: Parts): Promise<void> {
  const { users, logins, database } = stele

  const told = inClientsTerms(database)

  app.get('/v1/users', needs('users:read'), async (request: Received) => {
    userOf(request)
    const limit = integer(request.query, 'limit', 1, 1_000) ?? 100
    const after = wordOf(request.query, 'after')
    const found = await told(users.list({ limit: limit + 1, ...(after === undefined ? {} : { after }) }))
    return listOf(found.slice(0, limit).map(userObject), found.length > limit)
  })

  app.post('/v1/users', needs('users:write'), async (request: Received) => {
    userOf(request)
    const given = checked(creation, readObject(request.body ?? ''))
    checkGiven(request, given.role)
    const account = {
      userId: checkUserId(given.user),
      password: given.password ?? undefined,
      email: given.email ?? undefined,
      username: given.username ?? undefined,
      role: given.role ?? undefined,
    }
    return userObject(await told(logins.createAccount(account, actorOf(request))))
  })

  app.post('/v1/users/:id', needs('users:write'), async (request: Received) => {
    userOf(request)
    const { id } = request.params
    const { role, status } = checked(change, readObject(request.body ?? ''))
    if (role == null && status == null)
      throw new SteleError('missing_required_parameter', { name: 'role' }, { param: 'role' })
    checkGiven(request, role)
    const standing = { role: role ?? undefined, status: status ?? undefined }
    const user = await told(users.setStanding(id, standing, actorOf(request)))
    access.forget(({ userId }) => userId === id)
    return userObject(user)
  })
}

function userObject({ id, email, username, role, status, created_at }: User): { readonly id: string } {
  return {
    object: 'user',
    id,
    email,
    username,
    role,
    status,
    created_at: Math.floor(created_at / 1_000),
  } as { readonly id: string }
}
