import type { ResponseEnd } from '../model/call.ts'
import { encodeCompressed } from '../privacy/content.ts'
import type { Recorder } from './recorder.ts'

type Responding = Pick<Recorder, 'change'>

/**
 * Commits what has come of a response when none of its calls has said so. One that has ended already stays as it is.
 * @throws SteleError store_unavailable
 */
export async function endResponse(
  recorder: Responding,
  userId: string,
  { id, status, body }: ResponseEnd,
): Promise<void> {
  const stored = await encodeCompressed(Buffer.from(body))
  await recorder.change({ kind: 'respond', userId, id, change: { kind: 'end', status, body: stored } })
}

/** Asks whoever makes the calls of a response to stop. False when it has ended. @throws SteleError store_unavailable */
export async function cancelResponse(recorder: Responding, userId: string, id: string): Promise<boolean> {
  const { isRepeat } = await recorder.change({ kind: 'respond', userId, id, change: { kind: 'cancel' } })
  return !isRepeat
}

/** Takes a response out of sight; its calls stay on record. False when there is none. @throws SteleError store_unavailable */
export async function deleteResponse(
  recorder: Responding,
  userId: string,
  id: string,
  apiKeyId?: string,
): Promise<boolean> {
  const change = { kind: 'delete', at: Date.now(), apiKeyId } as const
  const { isRepeat } = await recorder.change({ kind: 'respond', userId, id, change })
  return !isRepeat
}
