import { newId } from '../ids.ts'
import type { Outcome } from '../model/call.ts'
import type { BeginInput } from './begin-input.ts'

/** One exchange with a model, made elsewhere. */
export interface Interaction {
  readonly userId: string
  readonly model: string
  readonly messages: readonly { readonly role: string; readonly content: unknown }[]
  /** What the model answered; left out when it failed. */
  readonly responseText?: string | undefined
  readonly provider?: string | undefined
  /** True when the answer came from a cache and no provider was asked. */
  readonly cacheHit?: boolean | undefined
  readonly inputTokens?: number | undefined
  readonly outputTokens?: number | undefined
  /** Nano-US-dollars. Left out, it is computed, from an estimate where no tokens are given. */
  readonly costNanousd?: number | undefined
  readonly latencyMs?: number | undefined
  /** Why there is no answer. */
  readonly errorMessage?: string | undefined
  readonly conversationId?: string | undefined
  /** Makes saving idempotent. */
  readonly callId?: string | undefined
}

/** An interaction in the recorder's terms. */
export function interactionParts(interaction: Interaction): { input: BeginInput; outcome: Outcome } {
  const { userId, model, messages, responseText, conversationId } = interaction
  const status =
    interaction.cacheHit === true ? 'cached' : responseText === undefined ? 'failed' : 'completed'
  return {
    input: {
      userId,
      provider: interaction.provider ?? 'external',
      body: JSON.stringify({ model, messages }),
      callId: interaction.callId ?? newId('call'),
      conversationId,
    },
    outcome: {
      status,
      reply: {
        responseModel: model,
        finishReasons: [],
        usage: { inputTokens: interaction.inputTokens, outputTokens: interaction.outputTokens },
        message: responseText === undefined ? undefined : { content: responseText },
      },
      costNanousd: interaction.costNanousd,
      latencyMs: interaction.latencyMs,
      errorMessage: interaction.errorMessage,
      errorCode: status === 'failed' ? 'external' : undefined,
    },
  }
}
