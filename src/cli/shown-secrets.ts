import cluster from 'node:cluster'
import { say } from './output.ts'

/** Whoever lists the processes of a machine reads their command lines. */
const rules: readonly { readonly shows: RegExp; readonly warning: string }[] = [
  {
    shows: /^(?:--[\w-]+=)?[a-z][a-z0-9+.-]*:\/\/[^/?#\s@]*:[^/?#\s@]+@/i,
    warning:
      'a password stands on the command line, where every user of this machine can read it; DATABASE_URL or ~/.pgpass hides it',
  },
  {
    shows: /^--key(?:=|$)/,
    warning:
      'an API key stands on the command line, where every user of this machine can read it; STELE_API_KEY hides it',
  },
]

/** The public key of an audit log is no secret. */
const isPublicKey = /^(?:--key=)?[^\s+]+\+[0-9a-f]{8}\+/

/** Tells of secrets among the arguments of a command. Nothing is refused: on a machine of one's own it may be fine. */
export function warnOfShownSecrets(args: readonly string[]): void {
  // The process that started a worker has told.
  if (cluster.isWorker) return
  const shown = args.filter((arg, at) => !isPublicKey.test(arg === '--key' ? (args[at + 1] ?? '') : arg))
  for (const { shows, warning } of rules)
    if (shown.some(arg => shows.test(arg))) say(`stele: warning: ${warning}`)
}
