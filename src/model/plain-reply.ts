import type { PlainOperation } from './plain-request.ts'
import { isFields, type Reply, readCompletion, usageOf } from './reply.ts'

/** The member that makes a reply one to the operation. */
const lists = { embeddings: 'data', moderations: 'results', completions: 'choices' } as const

/** Reads the reply to a request that is no chat. Undefined when `value` is no such reply. */
export function readPlainReply(operation: PlainOperation, value: unknown): Reply | undefined {
  if (!isFields(value) || !Array.isArray(value[lists[operation]])) return undefined
  const facts = readCompletion({ ...value, choices: value['choices'] ?? [] })
  return {
    responseModel: facts?.responseModel,
    providerResponseId: facts?.providerResponseId,
    finishReasons: facts?.finishReasons ?? [],
    usage: usageOf(value),
  }
}
