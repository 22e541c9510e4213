import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { checked, readObject } from '../../model/json-body.ts'
import { roleOf } from '../../model/permissions.ts'
import type { Stele } from '../../stele.ts'
import { checkUserId } from '../../store/users.ts'
import type { Access } from '../access.ts'
import { inClientsTerms } from '../store-failure.ts'
import { asText, header, keyOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{ Params: { user: string }; Body: Buffer | undefined }>

const erasure = z.looseObject({ confirm: z.string(), reason: z.string().nullish() })

interface Parts {
  readonly stele: Pick<Stele, 'erase' | 'users' | 'database'>
  readonly access: Access
}

/** Erasing a user: oneself, or those for whom an application or an administrator answers. */
export async function erasureRoutes(app: FastifyInstance, { stele, access }: Parts): Promise<void> {
  const { database, users } = stele

  const told = inClientsTerms(database)

  app.post('/v1/users/:user/erase', needs('erasure:write'), async (request: Received) => {
    const { user } = request.params
    const named = asText(header(request, 'x-stele-user'))
    if (named !== undefined && named !== user)
      throw new SteleError(
        'permission_denied',
        { action: 'erase another user than it acts for' },
        { param: 'x-stele-user' },
      )
    const userId = checkUserId(userOf(request, user))
    const { confirm, reason } = checked(erasure, readObject(request.body ?? ''))
    if (confirm !== userId)
      throw new SteleError(
        'invalid_value',
        { name: 'confirm', reason: 'it must be the id of the user who is to be erased' },
        { param: 'confirm' },
      )
    const key = keyOf(request)
    const known = await told(users.get(userId))
    if (known === undefined) throw new SteleError('user_not_found', { user: userId })
    if (userId !== key.userId && roleOf(known.role) !== 'member' && !key.permissions.has('users:write'))
      throw new SteleError('permission_denied', { action: `erase somebody who is ${known.role}` })
    const { erasedAt, counts, remains } = await told(
      stele.erase(userId, { reason: reason ?? undefined, actor: key.userId }),
    )
    access.forget(({ userId: holder }) => holder === userId)
    return {
      object: 'user.erasure',
      user: userId,
      erased: true,
      erased_at: Math.floor(erasedAt / 1_000),
      rows: counts,
      remains,
    } as { readonly object: string }
  })
}
