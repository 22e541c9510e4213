/** Where what is told of people is masked. */
export interface MaskingPolicy {
  /** In what a provider gets. */
  readonly beforeLlm: boolean
  /** In what is stored. */
  readonly inStorage: boolean
}

/** What holds when several have a say: whoever demands masking gets it, and nobody can take it back. */
export function strictest(...policies: readonly MaskingPolicy[]): MaskingPolicy {
  return {
    beforeLlm: policies.some(({ beforeLlm }) => beforeLlm),
    inStorage: policies.some(({ inStorage }) => inStorage),
  }
}

const none: MaskingPolicy = { beforeLlm: false, inStorage: false }

const places = { beforeLlm: 'before-llm', inStorage: 'in-storage' } as const

/** A policy as it stands in a column; null for one that demands nothing. */
export function policyText({ beforeLlm, inStorage }: MaskingPolicy = none): string | null {
  const demanded = [...(beforeLlm ? [places.beforeLlm] : []), ...(inStorage ? [places.inStorage] : [])]
  return demanded.length === 0 ? null : demanded.join(' ')
}

/** The inverse; undefined for one that demands nothing. */
export function policyOf(text: string | null): MaskingPolicy | undefined {
  if (text === null) return undefined
  const demanded = text.split(' ')
  return { beforeLlm: demanded.includes(places.beforeLlm), inStorage: demanded.includes(places.inStorage) }
}
