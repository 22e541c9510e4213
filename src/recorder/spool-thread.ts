import { deserialize, serialize } from 'node:v8'
import { type MessagePort, parentPort } from 'node:worker_threads'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { type NewSpoolEntry, openSpoolFile, type SpoolEntry, type SpoolFile } from '../db/spool-file.ts'
import { seal, unseal } from '../privacy/seal.ts'
import { quietReasonOf } from '../quiet-error.ts'
import { withoutContentOf } from './erased.ts'
import type { Operation } from './operations.ts'
import type { SpoolAnswer, SpoolRequest, SpoolSetup } from './spool.ts'
import type { ThreadReply, ThreadRequest, ThreadTask } from './thread.ts'

/** However many entries are asked for, no more than fits in memory. */
const maxRawBytes = 32 * 1024 * 1024

/** The fastest level, which also needs the least memory. */
const quickly = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

parentPort?.on('message', ({ data, port }: ThreadTask) => serve(data as SpoolSetup, port))

/** Keeps one spool, as it is told through `port`. */
function serve({ path, key }: SpoolSetup, port: MessagePort): void {
  let file: SpoolFile | undefined

  port.on('message', ({ id, request }: ThreadRequest<SpoolRequest>) => {
    let reply: ThreadReply<SpoolAnswer>
    try {
      reply = { id, value: answer(request) }
    } catch (error) {
      reply = { id, failure: quietReasonOf(error) }
    }
    port.postMessage([reply])
  })

  function answer(request: SpoolRequest): SpoolAnswer {
    if (request.kind === 'release') {
      file?.release()
      file = undefined
      return { isClaimed: false, depth: 0, bytes: 0, oldestAt: undefined }
    }
    file ??= openSpoolFile(path)
    if (!file.claim()) {
      file = undefined
      return { isClaimed: false, depth: 0, bytes: 0, oldestAt: undefined }
    }
    const done = perform(file, key, request)
    const { depth, bytes, oldestAt } = file.status()
    return { isClaimed: true, depth, bytes, oldestAt, ...done }
  }
}

function perform(
  spool: SpoolFile,
  key: Uint8Array,
  request: SpoolRequest,
): Pick<SpoolAnswer, 'operations' | 'erased'> {
  switch (request.kind) {
    case 'append':
      spool.append(request.operations.map(operation => entryOf(key, operation)))
      return {}
    case 'read':
      return {
        operations: spool
          .read(request.count, maxRawBytes)
          .map(({ seq, ...entry }) => ({ seq, operation: open(key, entry) })),
      }
    case 'remove':
      spool.remove(request.seqs)
      return {}
    case 'reject':
      spool.reject(request.seq, request.reason)
      return {}
    case 'retryRejected':
      spool.retryRejected()
      return {}
    case 'erase':
      return { erased: spool.rewrite(entry => blanked(key, entry, request)) }
    default:
      throw new Error(`no such request: ${request.kind}`)
  }
}

/** Undefined where there is nothing to take; what cannot be opened tells nobody anything. */
function blanked(
  key: Uint8Array,
  entry: SpoolEntry,
  { userId, erasedAt }: Extract<SpoolRequest, { kind: 'erase' }>,
): NewSpoolEntry | undefined {
  const operation = open(key, entry)
  if (operation === undefined) return undefined
  const left = withoutContentOf(operation, userId, erasedAt)
  return left === operation ? undefined : entryOf(key, left)
}

function entryOf(key: Uint8Array, operation: Operation): NewSpoolEntry {
  const { kind } = operation
  const callId = callIdOf(operation)
  const raw = serialize(operation)
  const sealed = seal(key, purpose(callId, kind), zstdCompressSync(raw, quickly))
  return { callId, kind, createdAt: Date.now(), rawBytes: raw.byteLength, sealed }
}

/** The call that an entry is about, the first of several; empty when it is about none. */
function callIdOf(operation: Operation): string {
  if ('start' in operation) return operation.start.callId
  if ('call' in operation) return operation.call.callId
  return 'endings' in operation ? (operation.endings[0]?.call.callId ?? '') : ''
}

/** Undefined when the entry does not open: it was changed, or belongs to another database. */
function open(key: Uint8Array, { callId, kind, sealed }: Omit<SpoolEntry, 'seq'>): Operation | undefined {
  try {
    return deserialize(zstdDecompressSync(unseal(key, purpose(callId, kind), sealed))) as Operation
  } catch {
    return undefined
  }
}

function purpose(callId: string, kind: string): string {
  return `spool:${kind}:${callId}`
}
