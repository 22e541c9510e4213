import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { SecureContextOptions } from 'node:tls'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  LogController,
} from 'fastify'
import type { Registry } from 'prom-client'
import type { Config } from '../config.ts'
import { errorBody, SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { Permission } from '../model/permissions.ts'
import type { ProviderRegistry } from '../providers/registry.ts'
import type { Stele } from '../stele.ts'
import { openTelemetryWatcher } from '../telemetry/open-telemetry.ts'
import { createCounts } from '../telemetry/prometheus.ts'
import { type CallWatcher, watchers } from '../telemetry/watch.ts'
import { createAccess, type Principal } from './access.ts'
import { acceptLegalRequests, connectionOptions, endStalled, limitConnections } from './connections.ts'
import { contentAccess } from './content-access.ts'
import { frontDoor } from './front-door.ts'
import { refusalHeaders } from './limit-headers.ts'
import { malformedRefuser } from './refuse-malformed.ts'
import { apiKeyRoutes } from './routes/api-keys.ts'
import { auditEventRoutes } from './routes/audit-events.ts'
import { auditLogRoutes } from './routes/audit-log.ts'
import { auditProofRoutes } from './routes/audit-proofs.ts'
import { authRoutes } from './routes/auth.ts'
import { cacheRoutes } from './routes/cache.ts'
import { chatCompletionsRoute } from './routes/chat-completions.ts'
import { comparisonRoutes } from './routes/comparisons.ts'
import { conversationRoutes } from './routes/conversations.ts'
import { documentTypeRoutes } from './routes/document-types.ts'
import { documentRoutes } from './routes/documents.ts'
import { erasureRoutes } from './routes/erasure.ts'
import { healthRoutes } from './routes/health.ts'
import { limitRoutes } from './routes/limits.ts'
import { metricsRoutes, type SharedMetrics } from './routes/metrics.ts'
import { modelsRoutes } from './routes/models.ts'
import { oversightRoutes } from './routes/oversight.ts'
import { plainRequestRoutes } from './routes/plain-requests.ts'
import { responsesRoutes } from './routes/responses.ts'
import { searchRoute } from './routes/search.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { storedCompletionRoutes } from './routes/stored-completions.ts'
import { usageRoutes } from './routes/usage.ts'
import { userRoutes } from './routes/users.ts'
import { securityHeaders } from './security-headers.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The key that authenticated this request; set on every route but the open ones. */
    apiKey: Principal | undefined
    /** Another user whose content a break-glass grant has opened to this request. */
    opened: string | undefined
  }
}

/** What of the configuration concerns clients. */
export type ClientSettings = Pick<
  Config,
  | 'bodyLimit'
  | 'replyLimit'
  | 'requestTimeout'
  | 'clientTimeout'
  | 'keepAliveTimeout'
  | 'maxConnections'
  | 'host'
  | 'allowedHosts'
  | 'corsOrigins'
  | 'corsCredentials'
  | 'idempotencyTtl'
  | 'idempotencyWait'
  | 'chatModel'
  | 'chatSystem'
  | 'chatGreeting'
  | 'registration'
  | 'sessionIdle'
  | 'sessionLifetime'
  | 'trustedProxies'
  | 'maskPiiBeforeLlm'
  | 'maskPiiInLogs'
  | 'masking'
  | 'cacheMode'
  | 'cacheTtl'
  | 'cache'
  | 'compress'
  | 'metrics'
  | 'metricsToken'
  | 'auditLogPublic'
>

export interface GatewayParts {
  readonly stele: Stele
  readonly providers: ProviderRegistry
  readonly logger: FastifyBaseLogger
  readonly settings: ClientSettings
  /** What HTTPS is spoken with; HTTP when left out. */
  readonly tls?: SecureContextOptions | undefined
  /** Figures of the process, and those of others that serve the same address. */
  readonly processCounts?: Registry | undefined
  readonly sharedMetrics?: SharedMetrics | undefined
}

/** Where the gateway stands, shared by its routes. */
export interface GatewayState {
  /** Aborted when it is told to stop. */
  readonly stopping: AbortController
  /** True from that moment. */
  readonly isStopping: boolean
  /** Calls under way, so that they can be ended when their time is up. */
  readonly underWay: Set<AbortController>
  /** Requests that came and whose replies have not left yet. */
  readonly unanswered: Set<ServerResponse>
  /** Tells by `ended` that a call or a reply has. */
  readonly events: EventEmitter
  /** Told of every call to a provider. */
  readonly telemetry: CallWatcher
}

export interface Gateway {
  readonly app: FastifyInstance
  readonly state: GatewayState
  /** The methods of each route, once it is ready. */
  readonly routes: ReadonlyMap<string, ReadonlySet<string>>
  /** What each of them takes, by method and route as in `GET /healthz`. */
  readonly permissions: ReadonlyMap<string, Permission>
}

/** The HTTP side of Stele. It speaks OpenAI's API, errors included, and holds no SQL. */
export function createGateway(parts: GatewayParts): Gateway {
  const { stele, providers, logger, settings, tls } = parts
  const { bodyLimit } = settings
  const stopping = new AbortController()
  const counts = createCounts()
  const state: GatewayState = {
    stopping,
    get isStopping() {
      return stopping.signal.aborted
    },
    underWay: new Set(),
    unanswered: new Set(),
    events: new EventEmitter(),
    telemetry: watchers([counts, openTelemetryWatcher()]),
  }
  const access = createAccess(stele, settings)
  const content = contentAccess(stele)
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    // One logger for all: whoever logs a call names it, and a child for each request would cost more than it says.
    childLoggerFactory: parent => parent,
    bodyLimit,
    genReqId: () => newId('call'),
    // Providers' ids are as long as they like; users and sessions are called as applications like, up to 256 characters each.
    routerOptions: { maxParamLength: 4_000 },
    // Stele answers for itself while it stops, in OpenAI's shape.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    ...connectionOptions(settings, tls),
    trustProxy: settings.trustedProxies ?? false,
    clientErrorHandler: malformedRefuser(state.unanswered, settings.requestTimeout),
    frameworkErrors: (_error, request, reply) => {
      const known = new SteleError('route_not_found', { method: request.method, path: '(malformed)' })
      const answer = reply as FastifyReply
      answer.headers({ ...securityHeaders, 'x-stele-call-id': request.id })
      answer.code(known.status).send(errorBody(known))
    },
  })

  acceptLegalRequests(app.server)
  limitConnections(app.server, settings)

  // Bodies stay bytes: they are recorded as they came.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  )

  const enter = frontDoor(settings, { isSecure: tls !== undefined })
  app.decorateRequest('apiKey', undefined)
  app.decorateRequest('opened', undefined)
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-stele-call-id', request.id)
    state.unanswered.add(reply.raw)
    reply.raw.once('close', () => {
      state.unanswered.delete(reply.raw)
      state.events.emit('ended')
    })
    endStalled(reply.raw, settings)
    if (enter(request, reply)) return reply.code(204).send()
    if (state.isStopping) {
      reply.header('connection', 'close')
      throw new SteleError('shutting_down')
    }
    if (!isReading.has(request.method)) requireRecord(stele)
    // The matched route counts, not the path as it was written: `/%761/models` is the same route.
    const { url: route, config } = request.routeOptions
    const { permission } = config
    if (route === undefined ? !request.url.startsWith('/v1/') : permission === 'public') return
    // Before the body is read: a stranger must not make Stele hold 64 MiB.
    request.apiKey = await access.admit(request, permission)
    if (permission !== undefined)
      request.opened = await content.openNamed(request, request.apiKey, permission)
    if (request.opened !== undefined) requireRecord(stele)
    const encoding = request.headers['content-encoding']
    if (encoding !== undefined && encoding !== 'identity') throw new SteleError('unsupported_media_type')
  })

  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = asSteleError(error, bodyLimit)
    // Whoever tries to log in too often must not fill the log either.
    if (known.status >= 500 && known.code !== 'login_busy')
      request.log.error(
        { callId: reply.getHeader('x-stele-call-id'), code: known.code, err: error },
        'request failed',
      )
    if (soonOver.has(known.code)) reply.header('retry-after', '1')
    if (known.code === 'too_many_attempts') reply.header('retry-after', String(known.details['seconds']))
    reply.headers(refusalHeaders(known))
    // OpenAI's clients repeat every 409; a key that stands for something else will not come to stand for this.
    if (known.code === 'idempotency_key_reused') reply.header('x-should-retry', 'false')
    return reply.code(known.status).send(errorBody(known))
  })

  const allowed = new Map<string, Set<string>>()
  const permissions = new Map<string, Permission>()
  app.addHook('onRoute', ({ url, method, config }) => {
    if (config?.permission === undefined)
      throw new Error(`the route ${String(method)} ${url} names no permission (src/model/permissions.ts)`)
    const methods = allowed.get(url) ?? new Set()
    for (const one of [method].flat()) {
      methods.add(one)
      permissions.set(`${one} ${url}`, config.permission)
    }
    allowed.set(url, methods)
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? ''
    const known = allowed.get(path) ?? [...allowed].find(([route]) => isAt(route, path))?.[1]
    const methods = [...(known ?? [])].join(', ')
    if (methods === '') throw new SteleError('route_not_found', { method: request.method, path })
    reply.header('allow', methods)
    throw new SteleError('method_not_allowed', { method: request.method, allowed: methods })
  })

  app.register(healthRoutes, { stele, providers })
  const { processCounts, sharedMetrics: shared } = parts
  app.register(metricsRoutes, { stele, providers, counts, settings, processCounts, shared })
  app.register(modelsRoutes, { providers })
  app.register(searchRoute, { stele })
  app.register(chatCompletionsRoute, { stele, providers, state, settings })
  app.register(comparisonRoutes, { stele, providers, state, settings })
  app.register(responsesRoutes, { stele, providers, state, settings })
  app.register(plainRequestRoutes, { stele, providers, state, settings })
  app.register(storedCompletionRoutes, { stele, settings })
  app.register(documentTypeRoutes, { stele })
  app.register(documentRoutes, { stele, providers, state, settings })
  app.register(conversationRoutes, { stele, settings })
  app.register(sessionRoutes, { stele, providers, state, settings })
  app.register(authRoutes, { stele, access, settings })
  app.register(apiKeyRoutes, { stele, access })
  app.register(userRoutes, { stele, access })
  app.register(cacheRoutes, { stele })
  app.register(erasureRoutes, { stele, access })
  app.register(oversightRoutes, { stele })
  app.register(auditEventRoutes, { stele })
  app.register(auditLogRoutes, { stele, settings })
  app.register(auditProofRoutes, { stele })
  app.register(limitRoutes, { stele })
  app.register(usageRoutes, { stele })
  return { app, state, routes: allowed, permissions }
}

/** Whether a path is one of a route's, whose parameters stand for one part each, and a `*` for the rest. */
function isAt(route: string, path: string): boolean {
  const parts = route.split('/')
  const given = path.split('/')
  const isPart = (part: string, index: number): boolean => {
    const found = given[index] ?? ''
    return part === found || (found !== '' && (part === '*' || part.startsWith(':')))
  }
  return (
    (parts.length === given.length || (parts.at(-1) === '*' && given.length > parts.length)) &&
    parts.every(isPart)
  )
}

const isReading: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Of what is to be on record in two places nothing is begun while one of them cannot take it. @throws SteleError audit_unavailable */
function requireRecord({ auditPlaces }: Pick<Stele, 'auditPlaces'>): void {
  const refusal = auditPlaces.refusal()
  if (refusal !== undefined) throw refusal
}

/** Failures that may be over in a moment. */
const soonOver: ReadonlySet<string> = new Set([
  'store_unavailable',
  'audit_unavailable',
  'spool_full',
  'shutting_down',
  'idempotency_key_in_use',
  'comparison_under_way',
  'user_erasing',
  'login_busy',
])

/** Puts what Fastify raises by itself into the table's terms. */
function asSteleError(error: FastifyError | SteleError, bodyLimit: number): SteleError {
  if (error instanceof SteleError) return error
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new SteleError('body_too_large', { limit: bodyLimit })
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new SteleError('unsupported_media_type')
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return new SteleError('invalid_json', { reason: 'the request could not be read' }, { cause: error })
  }
  return new SteleError('internal_error', {}, { cause: error })
}
