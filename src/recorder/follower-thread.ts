import { parentPort } from 'node:worker_threads'
import { Follower, type FollowerReport } from '../audit/places/follower.ts'
import { readerSource } from '../audit/places/reader-source.ts'
import { openDatabase } from '../db/database.ts'
import { LoadedMasterKeys } from '../privacy/master-keys.ts'
import { quietReasonOf } from '../quiet-error.ts'
import { Contents, promptly } from '../store/contents.ts'
import type { ThreadReply, ThreadRequest, ThreadTask } from './thread.ts'
import type { FollowerRequest, FollowerSetup } from './thread-follower.ts'

/** Nobody waits for this thread but the files. */
const linesAtATime = 2_000

parentPort?.on('message', ({ data, port }: ThreadTask) => {
  const { databaseUrl, settings, content, folder, expected } = data as FollowerSetup
  const own = { ...settings, poolSize: 1, maxOverflow: 0 }
  const database = openDatabase(databaseUrl, own, { isOpenElsewhere: true })
  const contents = new Contents({ ...content, masters: new LoadedMasterKeys(content.masterKeys) })
  const source = readerSource(promptly({ ...database, contents }), linesAtATime)
  const follower = new Follower({ folder, source, expected })

  port.on('message', async ({ id, request }: ThreadRequest<FollowerRequest>) => {
    let reply: ThreadReply<FollowerReport>
    try {
      const value = await follower.round()
      if (request === 'close') {
        await follower.close()
        await database.close()
      }
      reply = { id, value }
    } catch (error) {
      reply = { id, failure: quietReasonOf(error) }
    }
    port.postMessage([reply])
  })
})
