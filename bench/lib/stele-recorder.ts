import { randomUUID } from 'node:crypto'
import { type Contender, timeTurns } from './contender.ts'
import { openForBench, recordCall } from './stele.ts'
import { replyBody, requestBody, uniqueText } from './texts.ts'

/** Stele's recorder through the library, as an application would use it: intent, then outcome, both durable. */
export async function steleRecorder(
  databaseUrl: string,
  texts: readonly string[],
  contentMode: 'encrypted' | 'plain' = 'encrypted',
): Promise<Contender> {
  const stele = await openForBench(databaseUrl, contentMode)
  const run = randomUUID().slice(0, 8)
  let n = 0
  return {
    name: contentMode === 'plain' ? 'stelePlain' : 'stele',
    note: `openStele, recorder.begin then recorder.settle, whole record, ${contentMode === 'plain' ? 'content kept plain' : 'defaults'}`,
    run: (writers, seconds) =>
      timeTurns(writers, seconds, async writer => {
        const mark = `${run}-${n}`
        const request = requestBody(uniqueText(texts, n++, run))
        await recordCall(stele, `user-${writer}`, request, replyBody(mark))
      }),
    close: () => stele.close(),
  }
}
