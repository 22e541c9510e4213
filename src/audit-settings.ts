import { z } from 'zod'
import { noteAlgorithms, parseVkey } from './audit/note-keys.ts'
import type { AuditPlacesOptions } from './audit/places/service.ts'

const flag = z.union([z.boolean(), z.stringbool()]).default(false)

const address = z.url({ protocol: /^https?$/ }).refine(text => {
  const url = URL.parse(text)
  return url === null || (url.username === '' && url.password === '')
}, 'it may hold no user name or password')

const witnessKey = z.string().refine(text => {
  try {
    return parseVkey(text).algorithm === noteAlgorithms.cosignature
  } catch {
    return false
  }
}, 'it must be the vkey of a witness, as in example.com/w1+0a1b2c3d+BA…')

/** Where the audit log is taken to, outside the database. Part of the settings of a run. */
export const auditSettings = {
  /** A folder for the files of each day. */
  auditLogDir: z.string().min(1).optional(),
  /** Whether calls and changes are refused while the files fail, or are further behind than so many milliseconds. */
  auditFailClosed: flag,
  auditMaxLagMs: z.coerce.number().int().min(1_000).max(86_400_000).default(10_000),
  /** Where checkpoints go. */
  auditCheckpointFile: z.string().min(1).optional(),
  auditCheckpointStdout: flag,
  auditCheckpointWebhook: address.optional(),
  /** With which they are signed on their way to the webhook. */
  auditWebhookSecret: z.string().min(16, 'at least 16 characters').optional(),
  /** Seconds between two of them. */
  auditCheckpointInterval: z.coerce.number().min(0.1).max(86_400).default(60),
  /** Who cosigns them, by C2SP tlog-witness. */
  auditWitnessUrl: address.optional(),
  auditWitnessKey: witnessKey.optional(),
  /** Whether webhook and witness may be asked over plain HTTP on other machines. */
  auditAllowHttp: flag,
}

const audit = z.object(auditSettings)

export type AuditSettings = z.infer<typeof audit>

/** What does not fit together in them, as lines to show. */
export function auditProblems(settings: AuditSettings): string[] {
  const problems: string[] = []
  if (settings.auditFailClosed && settings.auditLogDir === undefined)
    problems.push('  auditFailClosed (AUDIT_FAIL_CLOSED): there is no auditLogDir (AUDIT_LOG_DIR)')
  if (settings.auditWebhookSecret !== undefined && settings.auditCheckpointWebhook === undefined)
    problems.push('  auditWebhookSecret (AUDIT_WEBHOOK_SECRET): there is no auditCheckpointWebhook')
  if ((settings.auditWitnessUrl === undefined) !== (settings.auditWitnessKey === undefined))
    problems.push(
      '  auditWitnessUrl, auditWitnessKey (AUDIT_WITNESS_URL, AUDIT_WITNESS_KEY): both or neither',
    )
  for (const [name, variable] of Object.entries(addresses)) {
    const url = settings[name as keyof typeof addresses]
    if (url !== undefined && !settings.auditAllowHttp && !isSafe(url))
      problems.push(
        `  ${name} (${variable}): https:// only, save on this machine or with auditAllowHttp (AUDIT_ALLOW_HTTP)`,
      )
  }
  return problems
}

const addresses = {
  auditCheckpointWebhook: 'AUDIT_CHECKPOINT_WEBHOOK',
  auditWitnessUrl: 'AUDIT_WITNESS_URL',
} as const

function isSafe(text: string): boolean {
  const { protocol, hostname } = new URL(text)
  return protocol === 'https:' || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
}

/** The places, as the library takes them. */
export function auditPlacesOf(config: AuditSettings): AuditPlacesOptions {
  const { auditCheckpointWebhook: url, auditWitnessUrl, auditWitnessKey } = config
  return {
    folder: config.auditLogDir,
    failClosed: config.auditFailClosed,
    maxLag: config.auditMaxLagMs,
    checkpointFile: config.auditCheckpointFile,
    print: config.auditCheckpointStdout ? line => void process.stdout.write(line) : undefined,
    webhook: url === undefined ? undefined : { url, secret: config.auditWebhookSecret },
    witness:
      auditWitnessUrl === undefined || auditWitnessKey === undefined
        ? undefined
        : { url: auditWitnessUrl, key: auditWitnessKey },
    interval: config.auditCheckpointInterval * 1_000,
  }
}
