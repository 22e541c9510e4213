import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads'
import { openDatabase } from '../db/database.ts'
import { SteleError } from '../errors.ts'
import { LimitBook } from '../limits/book.ts'
import { ConversationHashes } from '../model/hashes.ts'
import { LoadedMasterKeys } from '../privacy/master-keys.ts'
import { quietReasonOf } from '../quiet-error.ts'
import { Contents } from '../store/contents.ts'
import { storeSearchTokens } from '../store/search-keys.ts'
import { applyBatch } from './apply.ts'
import type { Applied } from './operations.ts'
import type { ThreadReply, ThreadRequest, ThreadTask } from './thread.ts'
import { closing, type WriterSetup, type WriterTask } from './writer.ts'

/** Operations in one transaction, which bounds how long a commit can take. */
const maxOperations = 256

type WriterRequest = ThreadRequest<WriterTask>

parentPort?.on('message', ({ data, port }: ThreadTask) => serve(data as WriterSetup, port))

/** Writes to one database what comes through `port`, until it is told to close. */
function serve({ databaseUrl, settings, hashKey, caps, content }: WriterSetup, port: MessagePort): void {
  const database = openDatabase(databaseUrl, settings, { isOpenElsewhere: true })
  const contents = new Contents({ ...content, masters: new LoadedMasterKeys(content.masterKeys) })
  const context = {
    database: { ...database, contents },
    hashes: new ConversationHashes(hashKey),
    tokens: storeSearchTokens(contents),
    limits: new LimitBook(caps),
    knownUsers: new Set<string>(),
  }
  const waiting: WriterRequest[] = []
  let isWriting = false

  port.on('message', (request: WriterRequest) => {
    waiting.push(request)
    if (!isWriting) void writeAll()
  })

  /** Writes what waits, and then what came meanwhile: the longer a commit takes, the more share the next. */
  async function writeAll(): Promise<void> {
    isWriting = true
    for (let requests = takeWaiting(); requests.length > 0; requests = takeWaiting()) {
      port.postMessage(await write(requests))
    }
    isWriting = false
  }

  function takeWaiting(): WriterRequest[] {
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
      waiting.push(next.message as WriterRequest)
    }
    let count = 0
    let operations = 0
    while (count < waiting.length && operations < maxOperations) {
      operations += countOf(waiting[count]?.request)
      count++
    }
    return waiting.splice(0, count)
  }

  async function write(requests: readonly WriterRequest[]): Promise<ThreadReply<Applied[]>[]> {
    try {
      const operations = requests.flatMap(({ request }) => (request === closing ? [] : request))
      const applied = operations.length === 0 ? [] : await applyBatch(context, operations)
      // The last that is ever asked.
      if (requests.some(({ request }) => request === closing)) await database.close()
      return requests.map(({ id, request }) => ({
        id,
        value: request === closing ? [] : applied.splice(0, request.length),
      }))
    } catch (error) {
      const failure = whyUnavailable(error)
      return requests.map(({ id }) => ({ id, failure }))
    }
  }
}

function countOf(task: WriterTask = []): number {
  return task === closing ? 0 : task.length
}

/** Why nothing was written, in words that stand behind what the error for it says. */
function whyUnavailable(error: unknown): string {
  if (error instanceof SteleError && error.code === 'store_unavailable') {
    const { reason } = error.details
    if (typeof reason === 'string') return reason
  }
  return quietReasonOf(error)
}
