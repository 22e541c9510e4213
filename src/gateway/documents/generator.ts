import { EventEmitter } from 'node:events'
import { pino } from 'pino'
import { type Config, resolveConfig } from '../../config.ts'
import { type DocumentRequest, documentLookup } from '../../documents/lookup.ts'
import { SteleError } from '../../errors.ts'
import { newId } from '../../ids.ts'
import { tellingFailures } from '../../library/told-failures.ts'
import { createProviders, type ProviderRegistry } from '../../providers/registry.ts'
import type { Stele } from '../../stele.ts'
import { promptly } from '../../store/contents.ts'
import { documentStore, type StoredDocument } from '../../store/documents.ts'
import { checkUserId } from '../../store/users.ts'
import { openTelemetryWatcher } from '../../telemetry/open-telemetry.ts'
import { watchers } from '../../telemetry/watch.ts'
import type { GatewayState } from '../app.ts'
import { createMasking } from '../masking/masking.ts'
import { generateDocument } from './generate.ts'
import { madeDocument } from './made-document.ts'

/** A document to be made through the library. */
export interface NewDocument extends DocumentRequest {
  /** Ends the work when nobody waits for the document any more. */
  readonly signal?: AbortSignal | undefined
}

/** Makes documents in this process, as a gateway does. */
export interface DocumentGenerator {
  /**
   * Makes a document and returns it once it is on record. Of one that is not what its type asks for, or was not made, the
   * error is raised; `details.document` names what is on record of it.
   * @throws SteleError document_type_not_found, document_type_not_in_force, document_input_invalid, document_not_found,
   * model_not_found, document_invalid, provider_error and its kind, store_unavailable
   */
  generateDocument(document: NewDocument): Promise<StoredDocument>
  /** Lets go of the providers. The store is left open. */
  close(): Promise<void>
}

/** Providers and the like, as in the configuration file (docs/configuration.md). */
export interface DocumentGeneratorOptions {
  readonly providers?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly defaultProvider?: string
  readonly models?: Readonly<Record<string, { readonly targets: readonly string[] }>>
  readonly openaiBaseUrl?: string
  readonly openaiApiKey?: string
  readonly replyLimit?: number
  readonly retryBudget?: number
  readonly maskPiiBeforeLlm?: boolean
  readonly maskPiiInLogs?: boolean
}

/**
 * Makes documents with these providers; without any, with the built-in echo.
 * @throws SteleError config_invalid
 * @example
 * const generator = documentGenerator(stele, { openaiApiKey: '…' })
 * await stele.documents.register({ name: 'summary', version: '1', model: 'gpt-4o', … })
 * const { output } = await generator.generateDocument({ type: 'summary', userId: 'ada', input: { … } })
 */
export function documentGenerator(stele: Stele, options: DocumentGeneratorOptions = {}): DocumentGenerator {
  const config = resolveConfig({ ...options }, {})
  return generatorOf(stele, config, createProviders(config, stele))
}

/** The same with providers that are there already; closing it closes them. */
export function generatorOf(stele: Stele, config: Config, providers: ProviderRegistry): DocumentGenerator {
  const { database } = stele
  const reading = promptly(database)
  const told = tellingFailures(database)
  const lookup = told(documentLookup(database, reading))
  const documents = documentStore(reading)
  const maskingOf = createMasking(config)
  const parts = { stele, providers, state: aloneState(), settings: config }
  return {
    async generateDocument({ signal, ...request }) {
      const { userId, regenerates: previousId } = request
      checkUserId(userId, 'userId')
      const found = await lookup.find(request)
      const asked = {
        ...found,
        callId: newId('call'),
        userId,
        apiKeyId: undefined,
        previousId,
        targets: providers.targets(found.model),
        masking: maskingOf({ headers: {} }, { masking: undefined }),
        claim: undefined,
      }
      const { abort, release } = abortedBy(signal)
      try {
        const waiting = { abort, log: silent, header: () => undefined }
        const { id, output, error } = await generateDocument(parts, asked, waiting)
        if (error !== undefined)
          throw new SteleError(
            error.code,
            { ...error.details, document: id },
            { cause: error, ...(error.param === null ? {} : { param: error.param }) },
          )
        const known = await documents.get(userId, id).catch(() => undefined)
        return madeDocument(asked, { id, output }, known)
      } finally {
        release()
      }
    },
    close: () => providers.close(),
  }
}

const silent = pino({ level: 'silent' })

/** The state of a gateway that serves nobody. */
export function aloneState(): GatewayState {
  const stopping = new AbortController()
  return {
    stopping,
    isStopping: false,
    underWay: new Set(),
    unanswered: new Set(),
    events: new EventEmitter(),
    telemetry: watchers([openTelemetryWatcher()]),
  }
}

/** What ends when a signal says so, and by the reason that there is then. */
function abortedBy(signal: AbortSignal | undefined): { abort: AbortController; release(): void } {
  const abort = new AbortController()
  const end = (): void => abort.abort(new SteleError('client_closed_request'))
  if (signal?.aborted === true) end()
  signal?.addEventListener('abort', end)
  return { abort, release: () => signal?.removeEventListener('abort', end) }
}
