import { z } from 'zod'

/** What the environment gives with commas between, and the file as a list. */
const list = z
  .union([z.string().transform(text => text.split(',').map(each => each.trim())), z.array(z.string())])
  .transform(each => each.filter(text => text !== ''))

const origin = z
  .string()
  .refine(
    text => text === '*' || URL.parse(text)?.origin === text,
    'origins only: https://app.example.com, or *',
  )

const host = z
  .string()
  .regex(
    /^(\*|(\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])$/i,
    'names without a port: stele.example.com, *.example.com, or *',
  )

/** Who may connect, and how. Part of the settings of a run. */
export const networkSettings = {
  /** PEM files: with both, the gateway speaks HTTPS. */
  tlsCert: z.string().min(1).optional(),
  tlsKey: z.string().min(1).optional(),
  /** A file with the key's passphrase. */
  tlsPassphraseFile: z.string().min(1).optional(),
  /** Web pages of which origins may use the gateway; none when empty. */
  corsOrigins: list.pipe(z.array(origin)).default([]),
  /** Whether their requests may carry cookies. */
  corsCredentials: z.union([z.boolean(), z.stringbool()]).default(false),
  /** The names by which clients call the gateway; when left out, any but on loopback, where names of loopback alone. */
  allowedHosts: list.pipe(z.array(host)).optional(),
  /** Connections that one process holds at once. */
  maxConnections: z.coerce.number().int().min(1).max(1_000_000).default(10_000),
  /** Seconds for which a connection is kept for its next request. */
  keepAliveTimeout: z.coerce.number().positive().max(86_400).default(72),
}

const network = z.object(networkSettings)

export type NetworkSettings = z.infer<typeof network>

/** What does not fit together in them, as lines to show. */
export function networkProblems(settings: NetworkSettings): string[] {
  const { tlsCert, tlsKey, corsOrigins, corsCredentials } = settings
  const problems: string[] = []
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    problems.push('  tlsCert, tlsKey (STELE_TLS_CERT, STELE_TLS_KEY): both or neither')
  if (settings.tlsPassphraseFile !== undefined && tlsKey === undefined)
    problems.push('  tlsPassphraseFile (STELE_TLS_PASSPHRASE_FILE): there is no tlsKey')
  if (corsCredentials && corsOrigins.includes('*'))
    problems.push(
      '  corsCredentials (STELE_CORS_CREDENTIALS): every site (*) would act with its visitors’ cookies',
    )
  return problems
}
