import { parentPort } from 'node:worker_threads'
import { countTokens } from './tokens.ts'

export interface CountRequest {
  readonly id: number
  readonly model: string
  readonly texts: readonly string[]
}

/** The sum over the texts; undefined when they cannot be counted. */
export interface CountReply {
  readonly id: number
  readonly tokens: number | undefined
}

parentPort?.on('message', ({ id, model, texts }: CountRequest) => {
  parentPort?.postMessage({ id, tokens: counted(model, texts) } satisfies CountReply)
})

function counted(model: string, texts: readonly string[]): number | undefined {
  try {
    return texts.reduce((sum, text) => sum + countTokens(model, text), 0)
  } catch {
    return undefined
  }
}
