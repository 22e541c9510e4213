import { expect, test } from 'vitest'
import { serveProcess } from '../gateway/serve-process.ts'
import { startUpstream } from '../gateway/upstream.ts'
import { type Place, postgresPlace, sqlitePlace } from '../harness/databases.ts'
import { type Asked, answerWithMark, startLoad } from './load.ts'
import { expectTruth, expectUsage, expectWholeConversations } from './truth.ts'

const clients = 16
const apiKey = 'sk-test-0123456789abcdef'

/** After how many ended replies each gateway is killed. */
const rounds: [name: string, place: () => Promise<Place>, killAfter: number[]][] = [
  ['SQLite', sqlitePlace, [1, 30, 60, 100]],
  ['PostgreSQL', postgresPlace, [10, 80]],
]

test.each(rounds)(
  'gateways on %s killed under load lose nothing and double nothing',
  { timeout: 60_000 },
  async (_, place, killAfter) => {
    const upstream = await startUpstream(answerWithMark)
    const at = await place()
    const env = { OPENAI_BASE_URL: upstream.baseUrl, STELE_API_KEY: apiKey, LOG_LEVEL: 'warn' }
    const asked: Asked[] = []
    for (const [round, count] of killAfter.entries()) {
      const gateway = await serveProcess({ place: at, env })
      const load = startLoad({ addresses: [await gateway.address], apiKey, round, clients })
      await load.ended(count)
      gateway.kill('SIGKILL')
      expect((await gateway.ended).signal).toBe('SIGKILL')
      await load.stopped
      asked.push(...load.asked)
    }
    const last = await serveProcess({ place: at, env })
    await last.address
    last.kill('SIGTERM')
    expect(await last.ended).toEqual({ code: 0, signal: null })

    const stele = await at.stele()
    // A call may be recorded whole and its reply not have reached its client any more; all others were given up as lost.
    const statuses = await expectTruth(stele, upstream, asked)
    expect([...statuses].sort()).toEqual(['completed', 'orphaned'])
    await expectUsage(stele)
    await expectWholeConversations(stele)
  },
)
