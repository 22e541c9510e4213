import type { Stele } from '../src/stele.ts'
import type { Call } from '../src/store/calls.ts'
import { markOf } from './marks.ts'

/** A call as the library reads it. */
export interface Recorded {
  readonly call: Call
  readonly mark: string
  readonly request: Buffer
  readonly reply: Buffer | undefined
}

const page = 1_000

/** Every call recorded after this one, or every one there is, oldest first. */
export async function* recordedAfter(stele: Stele, id: string | undefined): AsyncGenerator<Recorded> {
  // Lower than any id there is.
  for (let after = id ?? 'call_'; ; ) {
    const calls = await stele.calls.list({ after, limit: page })
    for (const call of calls) yield await read(stele, call)
    const last = calls.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

async function read(stele: Stele, call: Call): Promise<Recorded> {
  const unreadable = (error: unknown): Buffer => Buffer.from(`unreadable: ${String(error)}`)
  const request = await stele.calls.exactRequest(call.userId, call.id).catch(unreadable)
  const reply = await stele.calls.exactResponse(call.userId, call.id).catch(unreadable)
  return { call, mark: markOf(request.toString('utf8')), request, reply }
}
