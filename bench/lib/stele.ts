import { randomBytes } from 'node:crypto'

/** What is under test, loaded when it is needed; importing a benchmark's parts must not open it. */
export async function openForBench(databaseUrl: string, contentMode: 'encrypted' | 'plain' = 'encrypted') {
  const { openStele } = await import('../../src/index.ts')
  const stele = await openStele({ databaseUrl, masterKey: randomBytes(32).toString('base64'), contentMode })
  await stele.migrate()
  return stele
}

export type Stele = Awaited<ReturnType<typeof openForBench>>

/** Records one call, intent first, as the gateway does. */
export async function recordCall(stele: Stele, userId: string, request: string, reply: string) {
  const call = await beginCall(stele, userId, request)
  await settleCall(stele, call, reply)
  return call
}

/** The intent alone. */
export function beginCall(stele: Stele, userId: string, request: string) {
  return stele.recorder.begin({ userId, provider: 'bench', requestModel: 'bench-model', body: request })
}

/** The outcome of a begun call. */
export async function settleCall(stele: Stele, call: Awaited<ReturnType<typeof beginCall>>, reply: string) {
  await stele.recorder.settle(call, {
    status: 'completed',
    httpStatus: 200,
    contentType: 'application/json',
    body: reply,
    latencyMs: 1,
  })
}
