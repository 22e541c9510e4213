import type { FastifyRequest } from 'fastify'
import { SteleError } from '../errors.ts'
import type { Permission } from '../model/permissions.ts'
import type { Target } from '../providers/registry.ts'
import type { Stele } from '../stele.ts'
import { callStore } from '../store/calls.ts'
import { promptly } from '../store/contents.ts'
import { conversationStore } from '../store/conversations.ts'
import { responseStore } from '../store/responses.ts'
import { checkUserId } from '../store/users.ts'
import type { Principal } from './access.ts'
import type { StateNames } from './responses/history.ts'
import { asText, header, keyOf } from './routes/request-parts.ts'
import { inClientsTerms } from './store-failure.ts'

/** Calls looked up at a time. */
const page = 500

/**
 * Who may read what is stored. Services act for their users; everybody else reads what is their own, and an administrator
 * what a break-glass grant opens. Its use is on record before anything is read. Calls that go on from what is stored read
 * it too, save where all of it was said through the same key, whose only holder then knows it already.
 */
export function contentAccess({ grants, database }: Pick<Stele, 'grants' | 'database'>) {
  const prompt = promptly(database)
  const conversations = conversationStore(prompt)
  const responses = responseStore(prompt)
  const calls = callStore(prompt)

  const told = inClientsTerms(database)

  /** @throws SteleError break_glass_required, permission_denied */
  const useGrant = async (request: FastifyRequest, key: Principal, userId: string): Promise<void> => {
    if (userId === key.userId)
      throw new SteleError('permission_denied', {
        action: 'read what is stored: it takes the permission content:read',
      })
    if (!key.permissions.has('grants:write'))
      throw new SteleError('permission_denied', { action: 'read what is stored of another user' })
    const { method, routeOptions } = request
    const grant = await told(grants.use(key.userId, userId, `${method} ${routeOptions.url ?? ''}`))
    if (grant === undefined) throw new SteleError('break_glass_required', { user: userId })
  }

  const mayRead = ({ userId: own, permissions }: Principal, userId: string): boolean =>
    permissions.has(userId === own ? 'content:read' : 'content:any_user')

  /** Whether every message up to there is the opening of a session, or of a call that was made with this key. */
  const wasSaidThrough = async (
    { id: keyId, issuedBy }: Principal,
    userId: string,
    { previousResponseId, conversationId }: StateNames,
  ): Promise<boolean> => {
    // Two have this one: what one of them said through it the other does not know.
    if (issuedBy !== undefined) return false
    const previous =
      previousResponseId === undefined ? undefined : await responses.get(userId, previousResponseId)
    const id = previousResponseId === undefined ? conversationId : previous?.conversationId
    const conversation = id === undefined ? undefined : await conversations.get(userId, id)
    // What there is not is told by whoever looks for it. A response outlives its conversation.
    if (conversation === undefined) return previous === undefined
    const rows = await conversations.history(userId, conversation.id, conversation.nextSeq - 1)
    const opening = rows.findIndex(row => row.call_id !== null)
    const begun = rows.slice(opening === -1 ? rows.length : opening)
    const before = rows.slice(0, rows.length - begun.length)
    if (before.some(({ role }) => role !== 'system' && role !== 'assistant')) return false
    if (begun.some(row => row.call_id === null)) return false
    const ids = [...new Set(begun.flatMap(row => row.call_id ?? []))]
    for (let at = 0; at < ids.length; at += page) {
      const known = await calls.keysOf(userId, ids.slice(at, at + page))
      if (known.length < ids.slice(at, at + page).length || known.some(one => one !== keyId)) return false
    }
    return true
  }

  return {
    /** Whether what is stored of a user may be given to who sent a request, without a grant. */
    mayReuse: (request: FastifyRequest, userId: string): boolean => mayRead(keyOf(request), userId),
    /**
     * Uses a grant where a route of what is stored names somebody else whose content the key is not to read.
     * Returns that user. @throws SteleError break_glass_required
     */
    async openNamed(
      request: FastifyRequest,
      key: Principal,
      permission: Permission,
    ): Promise<string | undefined> {
      if (!permission.startsWith('content:') || key.permissions.has('content:any_user')) return undefined
      const named = namedUser(request)
      if (named === undefined || named === key.userId || !key.permissions.has('grants:write'))
        return undefined
      await useGrant(request, key, named)
      return named
    },
    /** @throws SteleError break_glass_required, permission_denied when a call may not go on from there */
    async mayContinue(request: FastifyRequest, userId: string, names: StateNames): Promise<void> {
      const key = keyOf(request)
      if (names.conversationId === undefined && names.previousResponseId === undefined) return
      if (mayRead(key, userId) || (await told(wasSaidThrough(key, userId, names)))) return
      await useGrant(request, key, userId)
    },
    /** The same of responses of which a request names items. @throws SteleError break_glass_required, permission_denied */
    async mayName(request: FastifyRequest, userId: string, responseIds: readonly string[]): Promise<void> {
      const key = keyOf(request)
      if (mayRead(key, userId)) return
      for (const previousResponseId of responseIds) {
        const names = { previousResponseId, conversationId: undefined }
        // One grant opens them all.
        if (!(await told(wasSaidThrough(key, userId, names)))) return useGrant(request, key, userId)
      }
    },
    /** @throws SteleError break_glass_required, permission_denied when what is stored of a user may not be made use of */
    async mayUse(request: FastifyRequest, userId: string): Promise<void> {
      const key = keyOf(request)
      if (!mayRead(key, userId)) await useGrant(request, key, userId)
    },
    /** @throws SteleError break_glass_required, permission_denied when the reply to a call may not be given again */
    async mayRepeat(request: FastifyRequest, userId: string, callId: string): Promise<void> {
      const key = keyOf(request)
      if (mayRead(key, userId)) return
      const [keyId] = await told(calls.keysOf(userId, [callId]))
      if (keyId !== key.id || key.issuedBy !== undefined) await useGrant(request, key, userId)
    },
    /** @throws SteleError break_glass_required, permission_denied when a target answers from what is stored */
    async mayAsk(request: FastifyRequest, userId: string, targets: readonly Target[]): Promise<void> {
      const key = keyOf(request)
      if (mayRead(key, userId) || !targets.some(({ provider }) => provider.answersFromRecord === true)) return
      await useGrant(request, key, userId)
    },
  }
}

/** Whom a request names outside its body. @throws SteleError invalid_value */
function namedUser(request: FastifyRequest): string | undefined {
  const { user: inPath } = request.params as { user?: unknown }
  const { user: inQuery } = request.query as { user?: unknown }
  const named = asText(header(request, 'x-stele-user')) ?? inPath ?? inQuery
  return typeof named === 'string' && named !== '' ? checkUserId(named) : undefined
}
