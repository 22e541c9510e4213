/**
 * Sends the 80 two-turn MT-bench questions through the official `openai` client and a Stele gateway, to a stand-in
 * provider that answers with GPT-4's reference answers where there are some, and checks what was recorded.
 *
 *   npm run example:mt-bench -- [--database URL] [--data FOLDER]
 *
 * The questions and answers are lm-sys/FastChat's (Apache-2.0); they are read from --data and not part of this project.
 */
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Presets, SingleBar } from 'cli-progress'
import { runConversations } from './mt-bench/conversations.ts'
import { startGateway } from './mt-bench/gateway.ts'
import { readQuestions } from './mt-bench/questions.ts'
import { contentBytes } from './mt-bench/stored-bytes.ts'
import { startUpstream } from './mt-bench/upstream.ts'
import { verifyRecord } from './mt-bench/verify.ts'

const { values } = parseArgs({
  options: {
    database: { type: 'string', default: process.env['DATABASE_URL'] ?? 'sqlite:.stele/mt-bench.db' },
    data: { type: 'string', default: '../shared/data' },
  },
})
if (!existsSync(`${values.data}/mt-bench-questions.jsonl`)) {
  console.error(`There is no mt-bench-questions.jsonl in ${values.data}; name its folder with --data.`)
  process.exit(1)
}

const questions = readQuestions(values.data)
const upstream = await startUpstream(questions)
const gateway = await startGateway(values.database, upstream.url)
const bar = new SingleBar(
  { format: '{bar} {value}/{total} calls', stream: process.stderr, hideCursor: true },
  Presets.shades_classic,
)
try {
  bar.start(questions.length * 2, 0)
  const turns = await runConversations(gateway, questions, () => bar.increment())
  bar.stop()
  const { counts, problems } = await verifyRecord(gateway.stele, gateway.userId, turns, upstream.journal)
  for (const [name, count] of Object.entries(counts)) console.log(`${String(count).padStart(6)}  ${name}`)
  const { stored, plain } = await contentBytes(gateway.stele, gateway.userId)
  console.log(
    `${String(Math.round((100 * stored) / plain)).padStart(6)}  % of their plain bytes is what contents take, encrypted`,
  )
  for (const problem of problems) console.error(`wrong: ${problem}`)
  process.exitCode = problems.length === 0 ? 0 : 1
} finally {
  await gateway.close()
  await upstream.close()
}
