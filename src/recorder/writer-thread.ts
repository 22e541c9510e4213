import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { openDatabase } from '../db/database.ts'
import { reasonOf } from '../errors.ts'
import { ConversationHashes } from '../model/hashes.ts'
import { storeSearchTokens } from '../store/search-keys.ts'
import { applyBatch } from './apply.ts'
import type { Applied, Operation } from './operations.ts'
import type { ThreadReply, ThreadRequest } from './thread.ts'
import type { WriterSetup } from './writer.ts'

/** Operations in one transaction, which bounds how long a commit can take. */
const maxOperations = 256

type WriterRequest = ThreadRequest<readonly Operation[]>

const { databaseUrl, settings, hashKey } = workerData as WriterSetup
const database = openDatabase(databaseUrl, settings, { isOpenElsewhere: true })
const hashes = new ConversationHashes(hashKey)
const context = {
  database,
  hashes,
  tokens: storeSearchTokens(hashes),
  knownUsers: new Set<string>(),
}

const waiting: WriterRequest[] = []
let isWriting = false

parentPort?.on('message', (request: WriterRequest) => {
  waiting.push(request)
  if (!isWriting) void writeAll()
})

/** Writes what waits, and then what came meanwhile: the longer a commit takes, the more share the next. */
async function writeAll(): Promise<void> {
  isWriting = true
  for (let requests = takeWaiting(); requests.length > 0; requests = takeWaiting()) {
    parentPort?.postMessage(await write(requests))
  }
  isWriting = false
}

function takeWaiting(): WriterRequest[] {
  if (parentPort !== null) {
    for (
      let next = receiveMessageOnPort(parentPort);
      next !== undefined;
      next = receiveMessageOnPort(parentPort)
    ) {
      waiting.push(next.message as WriterRequest)
    }
  }
  let count = 0
  let operations = 0
  while (count < waiting.length && operations < maxOperations) {
    operations += waiting[count]?.request.length ?? 0
    count++
  }
  return waiting.splice(0, count)
}

async function write(requests: readonly WriterRequest[]): Promise<ThreadReply<Applied[]>[]> {
  try {
    const applied = await applyBatch(
      context,
      requests.flatMap(({ request }) => request),
    )
    return requests.map(({ id, request }) => ({ id, value: applied.splice(0, request.length) }))
  } catch (error) {
    const failure = reasonOf(error)
    return requests.map(({ id }) => ({ id, failure }))
  }
}
