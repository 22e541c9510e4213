import type { StoredDocument } from '../store/documents.ts'
import type { RegisteredDocumentType } from './library.ts'

/** A document as clients get it. */
export function documentObject(document: StoredDocument): Readonly<Record<string, unknown>> {
  const { errorCode: code, errorMessage: message, inputTokens, outputTokens, totalTokens } = document
  return {
    id: document.id,
    object: 'document',
    type: document.type,
    version: document.version,
    number: document.number,
    status: document.status,
    user: document.userId,
    requested_by: document.apiKeyId ?? 'library',
    model: document.model ?? null,
    input: parsed(document.input),
    output: parsed(document.output),
    error: code === undefined ? null : { code, message: message ?? null },
    usage:
      totalTokens === undefined
        ? null
        : {
            input_tokens: inputTokens ?? null,
            output_tokens: outputTokens ?? null,
            total_tokens: totalTokens,
          },
    cost_nanousd: document.costNanousd ?? null,
    generation_time_ms: generationTime(document) ?? null,
    calls: document.callIds,
    first_id: document.rootId,
    previous_id: document.previousId ?? null,
    created_at: Math.floor(document.createdAt / 1_000),
    ended_at: document.endedAt === undefined ? null : Math.floor(document.endedAt / 1_000),
  }
}

/** Milliseconds from when it was asked for to when its end was recorded. */
export function generationTime({ createdAt, endedAt }: StoredDocument): number | undefined {
  return endedAt === undefined ? undefined : Math.max(0, endedAt - createdAt)
}

/** A document type as clients get it; its prompt only for those who may change it. */
export function typeObject(
  type: RegisteredDocumentType,
  { isWhole }: { readonly isWhole: boolean },
): Readonly<Record<string, unknown>> {
  return {
    object: 'document.type',
    name: type.name,
    version: type.version,
    number: type.number,
    description: type.description ?? null,
    model: type.model,
    input_schema: type.inputSchema,
    output_schema: type.outputSchema,
    strict: type.strict ?? null,
    valid_from: type.validFrom ?? null,
    valid_until: type.validUntil ?? null,
    ...(isWhole
      ? { prompt: type.prompt, parameters: type.parameters ?? null, registered_by: type.registeredBy }
      : {}),
    created_at: Math.floor(type.registeredAt / 1_000),
  }
}

function parsed(text: string | undefined): unknown {
  return text === undefined ? null : JSON.parse(text)
}
