import type { ProviderRegistry } from '../providers/registry.ts'

interface Facts {
  readonly address: string
  readonly data: string
  readonly providers: ProviderRegistry
  /** The key made just now, if any. */
  readonly key: string | undefined
  /** Processes that serve. */
  readonly workers: number
}

/** What a newcomer sees: where Stele is, where the data is, and a request to try. */
export function banner({ address, data, providers, key, workers }: Facts): string {
  const { isEchoOnly, defaultProvider, providers: all } = providers
  const names = [...all.keys()].filter(name => name !== 'echo' && name !== 'replay')
  const upstream = isEchoOnly
    ? "none yet: the built-in model 'echo' answers (set OPENAI_BASE_URL or OPENAI_API_KEY)"
    : `${names.join(', ') || defaultProvider.name} (default: ${defaultProvider.name})`
  const model = isEchoOnly ? 'echo' : 'MODEL'
  const lines = [
    'Stele is ready.',
    '',
    `  address   ${address}/v1`,
    `  data      ${data}`,
    `  upstream  ${upstream}`,
    ...(workers === 1 ? [] : [`  workers   ${workers}`]),
    key === undefined
      ? '  key       made earlier; npx stele keys create --user NAME makes another'
      : `  key       ${key}  (shown this once)`,
    '',
    'Try it:',
    '',
    `  curl ${address}/v1/chat/completions -H "Authorization: Bearer ${key ?? '$STELE_API_KEY'}" \\`,
    `    -H "Content-Type: application/json" -d '{"model":"${model}","messages":[{"role":"user","content":"Hello, Stele!"}]}'`,
    '',
  ]
  return `${lines.join('\n')}\n`
}
