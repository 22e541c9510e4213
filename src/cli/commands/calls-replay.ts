import { pino } from 'pino'
import { reasonOf, SteleError } from '../../errors.ts'
import { aloneState } from '../../gateway/documents/generator.ts'
import { createMasking } from '../../gateway/masking/masking.ts'
import { replayCall } from '../../gateway/replay-call.ts'
import { createProviders, type ProviderRegistry } from '../../providers/registry.ts'
import type { Stele } from '../../stele.ts'
import { endOfCall } from '../../store/call-place.ts'
import type { Call } from '../../store/calls.ts'
import { diffText } from '../diff-text.ts'
import { Failure, Verdict } from '../failure.ts'
import { configOf, type GlobalOptions, withStele } from '../open-store.ts'
import { noteReading } from '../operator.ts'
import { OutputError, say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type RecordedReply, type ReplyDiff, replyDiff } from '../reply-diff.ts'
import { formatFacts } from '../table.ts'
import { costText, countText } from '../values.ts'

export interface ReplayCallOptions extends GlobalOptions {
  readonly user?: string
  readonly model?: string
  readonly provider?: string
  readonly json?: boolean
}

interface Replayed {
  readonly before: Call
  readonly after: Call
  readonly diff: ReplyDiff
}

/** The exit code of whatever keeps a call from being made again and compared. */
const notCompared = 2

/**
 * Makes a call again with its exact request, and shows how the reply differs. Ends with 0 when it says the same, with 1 when it does
 * not, with 2 when there is nothing to compare.
 */
export async function replayRecordedCall(id: string, options: ReplayCallOptions): Promise<void> {
  const replayed = await replay(id, options).catch((error: unknown) => {
    if (!(error instanceof SteleError || error instanceof Failure)) throw error
    throw new Failure(reasonOf(error), { exitCode: notCompared, cause: error })
  })
  const { before, after, diff } = replayed
  try {
    await (options.json === true ? writeJson(recordOf(replayed)) : write(textOf(replayed)))
  } catch (error) {
    if (error instanceof OutputError && error.isReaderGone) throw new Verdict(codeOf(replayed))
    throw error
  }
  if (options.json !== true) say(diff.isSame ? 'The replies say the same.' : 'The replies differ.')
  if (after.status !== 'completed' && before.status === 'completed')
    throw new Failure(`The call was made again and ${after.status}: ${after.errorMessage ?? ''}`, {
      exitCode: notCompared,
    })
  throw new Verdict(codeOf(replayed))
}

function codeOf({ diff, before, after }: Replayed): number {
  return diff.isSame && before.status === after.status ? 0 : 1
}

async function replay(id: string, options: ReplayCallOptions): Promise<Replayed> {
  const { user } = options
  const config = configOf(options)
  return withStele(options, async stele => {
    const { calls } = stele
    const before = await (user === undefined ? calls.find(id) : calls.get(user, id))
    if (before === undefined)
      throw new Failure(`There is no call '${id}'${user === undefined ? '' : ` of '${user}'`}.`)
    await noteReading(stele, { userId: before.userId, target: id, command: 'calls replay' }, options)
    const request = await calls.exactRequest(before.userId, id)
    const providers = createProviders(config, stele)
    const interrupt = new AbortController()
    const stop = (): void => interrupt.abort(new SteleError('client_closed_request'))
    process.once('SIGINT', stop)
    try {
      const parts = { stele, providers, state: aloneState(), settings: config }
      const masking = createMasking(config)({ headers: {} }, { masking: undefined })
      const target = targetOf(providers, before, options)
      const end = await endOfCall(stele.database, before.userId, id)
      const again = { call: before, request, target, masking, end }
      const waiting = { abort: interrupt, log: pino({ level: 'silent' }), header: () => undefined }
      const after = await calls.get(before.userId, await replayCall(parts, again, waiting))
      if (after === undefined) throw new Failure('The new call is not on record yet: the database is away.')
      return { before, after, diff: replyDiff(await replyOf(stele, before), await replyOf(stele, after)) }
    } finally {
      process.off('SIGINT', stop)
      await providers.close()
    }
  })
}

/** Whom to ask: who was asked then, unless something else is said. @throws SteleError usage */
function targetOf(
  providers: ProviderRegistry,
  call: Call,
  { provider = call.provider, model = call.requestModel }: ReplayCallOptions,
) {
  if (!providers.providers.has(provider))
    throw new SteleError('usage', {
      reason: `No provider '${provider}' is configured here. Name one of ${[...providers.providers.keys()].join(', ')}: --provider`,
    })
  const [target] = providers.targets(`${provider}/${model}`)
  if (target === undefined) throw new SteleError('model_not_found', { model, hint: '' })
  return target
}

async function replyOf({ calls }: Stele, { userId, id, contentType }: Call): Promise<RecordedReply> {
  return { body: await calls.exactResponse(userId, id), contentType }
}

function textOf({ before, after, diff }: Replayed): string {
  const both = (read: (call: Call) => string): string => `${read(before)} → ${read(after)}`
  const facts = formatFacts([
    ['call', both(call => call.id)],
    ['provider', both(call => call.provider)],
    ['model', both(call => call.responseModel ?? call.requestModel)],
    ['status', both(call => call.status)],
    ['input tokens', both(call => countText(call.inputTokens))],
    ['output tokens', both(call => countText(call.outputTokens))],
    ['cost', both(call => costText(call.costNanousd))],
    ['latency (ms)', both(call => countText(call.latencyMs))],
  ])
  return [`${facts}\n`, ...diff.parts.map(diffText)].join('\n')
}

function recordOf({ before, after, diff }: Replayed): object {
  return {
    is_same: diff.isSame,
    recorded: toRecord(before),
    replayed: toRecord(after),
    differences: diff.parts,
  }
}
