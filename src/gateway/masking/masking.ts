import type { FastifyRequest } from 'fastify'
import { type MaskingConfig, maskingPatterns } from '../../config-masking.ts'
import { SteleError } from '../../errors.ts'
import { type Analyzer, Masker } from '../../privacy/masking/masker.ts'
import { type MaskingPolicy, strictest } from '../../privacy/masking/policy.ts'
import type { ApiKey } from '../../store/api-keys.ts'
import { presidio } from './presidio.ts'

export interface MaskingSettings {
  readonly maskPiiBeforeLlm: boolean
  readonly maskPiiInLogs: boolean
  readonly masking: MaskingConfig
}

/** How one request and its reply are masked. */
export interface Masking {
  readonly policy: MaskingPolicy
  readonly masker: Masker
}

/** Says of a request how it is to be masked; undefined when it is not. @throws SteleError invalid_value */
export type MaskingOf = (
  request: Pick<FastifyRequest, 'headers'>,
  key: Pick<ApiKey, 'masking'>,
) => Masking | undefined

const beforeLlmHeader = 'x-mask-pii-before-llm'
const inLogsHeader = 'x-mask-pii-in-logs'
const yes: ReadonlySet<string> = new Set(['true', '1', 'yes', 'on'])
const no: ReadonlySet<string> = new Set(['false', '0', 'no', 'off'])

/**
 * Who demands masking: the configuration, the key, the request. A request can demand more than its key; what the
 * configuration or the key demands it cannot take back.
 */
export function createMasking({ maskPiiBeforeLlm, maskPiiInLogs, masking }: MaskingSettings): MaskingOf {
  const always = { beforeLlm: maskPiiBeforeLlm, inStorage: maskPiiInLogs }
  const isAlways = always.beforeLlm || always.inStorage
  const newMasker = maskers(masking)
  return ({ headers }, key) => {
    const before = headers[beforeLlmHeader]
    const inLogs = headers[inLogsHeader]
    if (!isAlways && key.masking === undefined && before === undefined && inLogs === undefined)
      return undefined
    const asked = { beforeLlm: flag(beforeLlmHeader, before), inStorage: flag(inLogsHeader, inLogs) }
    const policy = strictest(always, asked, ...(key.masking === undefined ? [] : [key.masking]))
    if (!policy.beforeLlm && !policy.inStorage) return undefined
    return { policy, masker: newMasker() }
  }
}

/** Says how a request is masked where nobody but the configuration has a say; undefined when it is not. */
export function configuredMasking({
  maskPiiBeforeLlm,
  maskPiiInLogs,
  masking,
}: MaskingSettings): () => Masking | undefined {
  const policy = { beforeLlm: maskPiiBeforeLlm, inStorage: maskPiiInLogs }
  if (!policy.beforeLlm && !policy.inStorage) return () => undefined
  const newMasker = maskers(masking)
  return () => ({ policy, masker: newMasker() })
}

function maskers(masking: MaskingConfig): () => Masker {
  const options = { phoneRegion: masking.phoneRegion, patterns: maskingPatterns(masking) }
  const analyze: Analyzer | undefined = masking.presidio && presidio(masking.presidio)
  return () => new Masker(options, analyze)
}

/** @throws SteleError invalid_value: what was meant to protect must not be passed over */
function flag(name: string, given: string | string[] | undefined): boolean {
  const word = String(given ?? '')
    .trim()
    .toLowerCase()
  if (given === undefined || word === '' || no.has(word)) return false
  if (yes.has(word)) return true
  throw new SteleError('invalid_value', { name, reason: 'it must be true or false' }, { param: name })
}
