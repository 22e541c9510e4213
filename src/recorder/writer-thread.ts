import { parentPort, workerData } from 'node:worker_threads'
import { openDatabase } from '../db/database.ts'
import { reasonOf } from '../errors.ts'
import { ConversationHashes } from '../model/hashes.ts'
import { applyBatch } from './apply.ts'
import type { WriterReply, WriterRequest } from './thread-writer.ts'
import type { WriterSetup } from './writer.ts'

const { databaseUrl, settings, hashKey, instanceId } = workerData as WriterSetup
const database = openDatabase(databaseUrl, settings)
const context = {
  database,
  hashes: new ConversationHashes(hashKey),
  instanceId,
  knownUsers: new Set<string>(),
}

parentPort?.on('message', async ({ id, operations }: WriterRequest) => {
  const reply = (answer: Omit<WriterReply, 'id'>): void =>
    parentPort?.postMessage({ id, ...answer } satisfies WriterReply)
  try {
    if (operations === undefined) {
      await database.close()
      reply({ applied: [] })
    } else {
      reply({ applied: await applyBatch(context, operations) })
    }
  } catch (error) {
    reply({ unavailable: reasonOf(error) })
  }
})
