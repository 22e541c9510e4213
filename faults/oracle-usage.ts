import type { Stele } from '../src/stele.ts'
import type { Violation } from './verdict.ts'

type Sums = [calls: number, errors: number, inputTokens: number, outputTokens: number, unpriced: number]

/** The sums of each user, day and model are those of its calls, and each settled call has one audit event. */
export async function checkUsage({ database }: Stele): Promise<Violation[]> {
  const { kysely } = database
  const requests = new Map(
    (await kysely.selectFrom('llm_requests').select(['id', 'request_model']).execute()).map(row => [
      row.id,
      row.request_model,
    ]),
  )
  const responses = await kysely
    .selectFrom('llm_responses')
    .select([
      'user_id',
      'request_id',
      'status',
      'response_model',
      'input_tokens',
      'output_tokens',
      'cost_nanousd',
      'created_at',
    ])
    .execute()
  const counted = new Map<string, Sums>()
  for (const row of responses) {
    const day = new Date(row.created_at).toISOString().slice(0, 10)
    const key = `${row.user_id} ${day} ${row.response_model ?? requests.get(row.request_id)}`
    const sums = counted.get(key) ?? [0, 0, 0, 0, 0]
    sums[0] += 1
    sums[1] += row.status === 'failed' || row.status === 'orphaned' ? 1 : 0
    sums[2] += row.input_tokens ?? 0
    sums[3] += row.output_tokens ?? 0
    sums[4] += row.cost_nanousd === null ? 1 : 0
    counted.set(key, sums)
  }
  const usage = await kysely.selectFrom('usage_daily').selectAll().execute()
  const kept = new Map(
    usage.map((row): [string, Sums] => [
      `${row.user_id} ${row.day} ${row.model}`,
      [row.calls, row.errors, row.input_tokens, row.output_tokens, row.unpriced_calls],
    ]),
  )
  const events = await kysely.selectFrom('audit_events').select(['target', 'action']).execute()
  const settled = Map.groupBy(
    events.filter(({ action }) => action === 'call.settled'),
    ({ target }) => target ?? '',
  )
  return [
    ...[...new Set([...counted.keys(), ...kept.keys()])].flatMap((key): Violation[] => {
      const [is, shall] = [kept.get(key), counted.get(key)]
      if (is?.join() === shall?.join()) return []
      const detail = `calls, errors, tokens in, tokens out, unpriced: ${is?.join(', ')} kept, ${shall?.join(', ')} counted`
      return [{ check: 'usage', about: key, detail }]
    }),
    ...responses.flatMap(({ request_id: id }): Violation[] => {
      const times = settled.get(id)?.length ?? 0
      return times === 1
        ? []
        : [{ check: times > 1 ? 'double' : 'missing', about: id, detail: `${times} audit events` }]
    }),
  ]
}
