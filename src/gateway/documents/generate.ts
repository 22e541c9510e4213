import type { DocumentType } from '../../documents/document-type.ts'
import { readyType } from '../../documents/document-type.ts'
import { misfitsText } from '../../documents/json-schema.ts'
import { type ReadOutput, readOutput, repairRequest, withSchema } from '../../documents/output.ts'
import { SteleError } from '../../errors.ts'
import { documentIdOf, newId } from '../../ids.ts'
import type { DocumentEnd, IdempotencyClaim, Outcome, RouteMode } from '../../model/call.ts'
import { parseChatRequest } from '../../model/chat-request.ts'
import type { JsonObject } from '../../model/json-object.ts'
import type { Target } from '../../providers/registry.ts'
import { endDocument } from '../../recorder/documents.ts'
import type { StoredDocumentType } from '../../store/document-types.ts'
import type { AttemptFailure } from '../attempt-failure.ts'
import { type AttemptParts, answerClient } from '../attempts.ts'
import { CollectingClient, type Waiting } from '../collecting-client.ts'
import { chatRequest, type GatewayRequest } from '../gateway-request.ts'
import { asKnown } from '../live-call.ts'
import { maskedRequest } from '../masking/masked-request.ts'
import type { Masking } from '../masking/masking.ts'

/** A document that somebody asks for, all that it names looked up and checked. */
export interface AskedDocument {
  /** Of the first call. */
  readonly callId: string
  readonly type: StoredDocumentType
  readonly input: JsonObject
  readonly userId: string
  readonly apiKeyId: string | undefined
  /** The document that it is made again from. */
  readonly previousId: string | undefined
  readonly targets: readonly Target[]
  readonly masking: Masking | undefined
  readonly claim: IdempotencyClaim | undefined
}

/** What came of it: it is on record under this id, whole or not. */
export interface DocumentOutcome {
  readonly id: string
  /** The document as JSON text. */
  readonly output: string | undefined
  readonly error: SteleError | undefined
  /** The provider's own words of why there is none. */
  readonly failure: AttemptFailure | undefined
}

/** Versions of types whose schema the providers of these registries have refused: they are few. */
const refusals = new WeakMap<AttemptParts['providers'], Set<string>>()

/**
 * Makes a document: asks for it, with its schema where the provider takes one, and once more when what came does not fit.
 * Every call is recorded like any other, and how the document ends with the last of them. What goes wrong between two
 * calls is recorded right after; a process that dies leaves that to whoever finds its calls.
 * @throws SteleError only for what was refused before anything was on record
 */
export async function generateDocument(
  parts: AttemptParts,
  asked: AskedDocument,
  waiting: Waiting,
): Promise<DocumentOutcome> {
  return new Making(parts, asked, waiting).run()
}

type Message = { readonly role: string; readonly content: string }

class Making {
  readonly #parts: AttemptParts
  readonly #asked: AskedDocument
  readonly #waiting: Waiting
  readonly #type: DocumentType
  readonly #id: string
  readonly #version: string
  readonly #refused: Set<string>
  /** What the last reply amounts to. */
  #read: ReadOutput | undefined
  #isBegun = false

  constructor(parts: AttemptParts, asked: AskedDocument, waiting: Waiting) {
    this.#parts = parts
    this.#asked = asked
    this.#waiting = waiting
    this.#type = readyType(asked.type)
    this.#id = documentIdOf(asked.callId)
    const { name, version } = this.#type.definition
    this.#version = JSON.stringify([name, version])
    this.#refused = refusals.get(parts.providers) ?? new Set()
    refusals.set(parts.providers, this.#refused)
  }

  async run(): Promise<DocumentOutcome> {
    try {
      return await this.#make()
    } catch (error) {
      if (!this.#isBegun) throw error
      return this.#giveUp(asKnown(error), undefined)
    }
  }

  async #make(): Promise<DocumentOutcome> {
    const prompt = this.#type.prompt(this.#asked.input)
    let isStructured = !this.#refused.has(this.#version)
    let failure = await this.#ask(prompt, { isStructured })
    if (failure !== undefined && isStructured && isRefusal(failure)) {
      isStructured = false
      failure = await this.#ask(prompt, { isStructured, routeMode: 'retry' })
      if (failure === undefined) this.#refused.add(this.#version)
    }
    const first = this.#read
    if (failure === undefined && first !== undefined && first.misfits.length > 0) {
      const said = { role: 'assistant', content: first.said }
      const repair = [...prompt, said, { role: 'user', content: repairRequest(first.misfits) }]
      failure = await this.#ask(repair, { isStructured, routeMode: 'repair' })
    }
    if (failure !== undefined) return this.#giveUp(failure.error, failure)
    const { text, misfits } = this.#read ?? { text: undefined, misfits: [] }
    const error = misfits.length === 0 ? undefined : this.#invalid(misfitsText(misfits))
    return { id: this.#id, output: text, error, failure: undefined }
  }

  /** Makes one request, of as many calls as it takes. Returns how it failed; the reply is read while it is recorded. */
  async #ask(
    messages: readonly Message[],
    { isStructured, routeMode }: { isStructured: boolean; routeMode?: RouteMode },
  ): Promise<AttemptFailure | undefined> {
    const { callId, userId, apiKeyId, targets, masking, claim } = this.#asked
    const { signal } = this.#waiting.abort
    if (routeMode !== undefined && signal.aborted)
      throw signal.reason instanceof SteleError ? signal.reason : new SteleError('shutting_down')
    const { settings } = this.#parts
    const request = await maskedRequest(this.#request(messages, isStructured, routeMode), masking, settings)
    const client = new CollectingClient(this.#waiting)
    const question = {
      callId: routeMode === undefined ? callId : newId('call'),
      group: routeMode && { id: callId, routeMode },
      request,
      targets,
      userId,
      apiKeyId,
      conversationId: undefined,
      claim,
    }
    try {
      await answerClient(this.#parts, question, client)
    } finally {
      if (client.callId !== undefined) this.#isBegun = true
    }
    return client.failure
  }

  #request(
    messages: readonly Message[],
    isStructured: boolean,
    routeMode: RouteMode | undefined,
  ): GatewayRequest {
    const { name, version, model, parameters, outputSchema, strict } = this.#type.definition
    const schema = { name, schema: outputSchema, ...(strict === undefined ? {} : { strict }) }
    const body = {
      model,
      messages: isStructured ? messages : withSchema(messages, outputSchema),
      ...parameters,
      ...(isStructured ? { response_format: { type: 'json_schema', json_schema: schema } } : {}),
    }
    const { previousId, input } = this.#asked
    const document = { id: this.#id, previousId, input: JSON.stringify(input) }
    return {
      ...chatRequest(parseChatRequest(JSON.stringify(body))),
      recording: {
        documentKind: { type: name, version },
        document: routeMode === undefined ? document : undefined,
      },
      forStorage: async outcome => ({ ...outcome, document: this.#endOf(outcome, routeMode === 'repair') }),
    }
  }

  /** How the document ends with a call; undefined when there may be another. */
  #endOf(outcome: Outcome, isLast: boolean): DocumentEnd | undefined {
    const { status, reply, errorCode, errorMessage } = outcome
    const id = this.#id
    if (status === 'aborted') return { id, status: 'failed', errorCode, errorMessage }
    if (status !== 'completed') return undefined
    this.#read = readOutput(this.#type, reply?.message)
    const { text, misfits } = this.#read
    if (misfits.length === 0) return { id, status: 'completed', output: text }
    if (!isLast) return undefined
    const { code } = this.#invalid('')
    return { id, status: 'invalid', output: text, errorCode: code, errorMessage: misfitsText(misfits) }
  }

  #invalid(problems: string): SteleError {
    return new SteleError('document_invalid', { type: this.#type.definition.name, problems })
  }

  async #giveUp(error: SteleError, failure: AttemptFailure | undefined): Promise<DocumentOutcome> {
    const { code: errorCode, message: errorMessage } = error
    const end = { id: this.#id, status: 'failed', errorCode, errorMessage }
    await endDocument(this.#parts.stele.recorder, this.#asked.userId, end).catch(cause =>
      this.#waiting.log.error({ err: cause }, 'what came of a document is not recorded'),
    )
    return { id: this.#id, output: undefined, error, failure }
  }
}

/** Statuses with which services refuse what they do not know. */
const refusing: ReadonlySet<number> = new Set([400, 415, 422, 501])

function isRefusal({ error, answer }: AttemptFailure): boolean {
  return error.code === 'provider_error' && answer !== undefined && refusing.has(answer.status)
}
