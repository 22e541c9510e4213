import { SteleError } from '../../errors.ts'
import { isId } from '../../ids.ts'
import { endedResponse, type ResponseObject } from '../../model/responses/response.ts'
import type { Stele } from '../../stele.ts'
import { callStore } from '../../store/calls.ts'
import { promptly } from '../../store/contents.ts'
import { isOpenStatus, responseStore, type StoredResponse } from '../../store/responses.ts'
import { inClientsTerms } from '../store-failure.ts'
import { shortfallFor } from './renditions.ts'

/** A response as it stands now. */
export interface PresentResponse {
  readonly stored: StoredResponse
  /** False while somebody still makes it. */
  readonly hasEnded: boolean
  /** Its JSON text as its client gets it. */
  readonly text: string
}

/** Looks responses up. */
export function responseReader({ database }: Pick<Stele, 'database'>) {
  const prompt = promptly(database)
  const responses = responseStore(prompt)
  const calls = callStore(prompt)

  /** One that nobody makes any more and that nobody ended: its process died. */
  const lost = async ({ userId, callId, status, body }: StoredResponse): Promise<string> => {
    const begun = JSON.parse(body) as ResponseObject
    const last = (await calls.group(userId, callId)).at(-1)
    const message = last?.errorMessage ?? 'The process that made this response ended before it was recorded.'
    const shortfall =
      status === 'cancelling'
        ? ({ status: 'cancelled' } as const)
        : shortfallFor({ code: 'internal_error', message, details: {} })
    return JSON.stringify(endedResponse(begun, { output: [], usage: {}, shortfall, endedAt: Date.now() }))
  }

  const present = async (userId: string, id: string): Promise<PresentResponse> => {
    const stored = isId('response', id) ? await responses.get(userId, id) : undefined
    if (stored === undefined) throw new SteleError('response_not_found', { response: id })
    if (!isOpenStatus(stored.status)) return { stored, hasEnded: true, text: stored.body }
    if (await responses.isUnderWay(userId, stored.callId))
      return { stored, hasEnded: false, text: stored.body }
    // It may have ended between the two looks.
    const again = (await responses.get(userId, id)) ?? stored
    if (!isOpenStatus(again.status)) return { stored: again, hasEnded: true, text: again.body }
    return { stored: again, hasEnded: true, text: await lost(again) }
  }

  const told = inClientsTerms(database)

  return {
    /** @throws SteleError response_not_found, store_unavailable */
    present: (userId: string, id: string): Promise<PresentResponse> => told(present(userId, id)),
    /** The input items of a response, in order. @throws SteleError response_not_found, store_unavailable */
    async input(userId: string, id: string): Promise<Readonly<Record<string, unknown>>[]> {
      const text = isId('response', id) ? await told(responses.input(userId, id)) : undefined
      if (text === undefined) throw new SteleError('response_not_found', { response: id })
      return JSON.parse(text) as Readonly<Record<string, unknown>>[]
    },
  }
}

export type ResponseReader = ReturnType<typeof responseReader>
