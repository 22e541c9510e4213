/**
 * Generates a treatment summary and keeps its record: what is asked for, what comes, what fails. Offline: a stand-in on this
 * machine answers in the place of a provider.
 *
 *   npm run example:documents -- [--database URL]
 */
import { parseArgs } from 'node:util'
import { documentGenerator, openStele, SteleError } from '../src/index.ts'
import { startStandIn } from './documents/stand-in.ts'
import { treatmentSummary } from './documents/treatment-summary.ts'

const { values } = parseArgs({ options: { database: { type: 'string', default: 'sqlite::memory:' } } })

const standIn = await startStandIn()
const stele = await openStele({ databaseUrl: values.database })
const generator = documentGenerator(stele, {
  providers: { 'stand-in': { baseUrl: standIn.url, retries: 0 } },
})

const input = {
  practice: 'Bitesoft',
  tone: 'reassuring',
  treatment_type: 'clear aligners',
  patient_name: 'Ada',
  age: 36,
  concerns: ['Does it hurt?', '{{practice}}, is that you?'],
}

try {
  await stele.documents.register(treatmentSummary)
  const type = treatmentSummary.name

  // The first reply names no date; it is sent back with what is wrong, and the second one does.
  const first = await generator.generateDocument({ type, userId: 'dr-grace', input })
  console.log(`made        ${first.status}, ${first.callIds.length} calls, ${first.totalTokens} tokens`)
  console.log(`            ${first.output}`)

  const second = await generator.generateDocument({ type, userId: 'dr-grace', regenerates: first.id })
  console.log(
    `made again  number ${second.number}, in place of the one before: ${second.previousId === first.id}`,
  )

  const refused = await failureOf({ ...input, age: 'thirty-six' })
  console.log(`refused     ${refused.code}: ${refused.message}`)
  const failed = await failureOf({ ...input, treatment_type: 'root canal' })
  console.log(`failed      ${failed.code}, on record all the same`)

  for (const { number, status, version, model, errorCode } of await stele.documents.list({
    userId: 'dr-grace',
  }))
    console.log(`on record   ${type} ${version} no. ${number}: ${errorCode ?? status}, by ${model}`)
  for (const { documents, completed, averageMs } of await stele.documents.totals({ userId: 'dr-grace' }))
    console.log(
      `totals      ${documents} documents, error rate ${(1 - completed / documents).toFixed(2)}, took a time: ${averageMs !== undefined}`,
    )
} finally {
  await generator.close()
  await stele.close()
  standIn.close()
}

async function failureOf(wrong: Record<string, unknown>): Promise<SteleError> {
  try {
    await generator.generateDocument({ type: treatmentSummary.name, userId: 'dr-grace', input: wrong })
  } catch (error) {
    if (error instanceof SteleError) return error
    throw error
  }
  throw new Error('it was made')
}
