import cluster from 'node:cluster'
import { say } from './output.ts'

/** Whoever lists the processes of a machine reads their command lines. */
const rules: readonly {
  /** The command that takes it; others have an option of that name for what is no secret. */
  readonly of?: string
  readonly shows: RegExp
  readonly warning: string
}[] = [
  {
    shows: /^(?:--[\w-]+=)?[a-z][a-z0-9+.-]*:\/\/[^/?#\s@]*:[^/?#\s@]+@/i,
    warning:
      'a password stands on the command line, where every user of this machine can read it; DATABASE_URL or ~/.pgpass hides it',
  },
  {
    of: 'chat',
    shows: /^--key(?:=|$)/,
    warning:
      'an API key stands on the command line, where every user of this machine can read it; STELE_API_KEY hides it',
  },
]

/** Tells of secrets among the arguments of a command. Nothing is refused: on a machine of one's own it may be fine. */
export function warnOfShownSecrets(args: readonly string[]): void {
  // The process that started a worker has told.
  if (cluster.isWorker) return
  const command = commandOf(args)
  for (const { of, shows, warning } of rules)
    if ((of === undefined || of === command) && args.some(arg => shows.test(arg)))
      say(`stele: warning: ${warning}`)
}

function commandOf(args: readonly string[]): string | undefined {
  return args.find((arg, at) => !arg.startsWith('-') && args[at - 1] !== '--database')
}
