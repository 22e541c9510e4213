/**
 * Guarantees that can be broken on purpose, each by a module of `breaks/` that takes the place of one of Stele's own in the
 * gateway's process.
 */
export const breaks = {
  'acknowledge-early': {
    replaces: 'recorder/queue.ts',
    breaks: 'a settle is answered before it is committed',
  },
  'drop-last-batch': {
    replaces: 'recorder/queue.ts',
    breaks: 'what is still to be written when the gateway stops is dropped',
  },
  'dispatch-early': {
    replaces: 'recorder/queue.ts',
    breaks: 'the provider is asked before the intent is committed',
  },
  'skip-recovery': { replaces: 'recorder/recovery.ts', breaks: 'calls of a dead process are not looked for' },
  'count-twice': { replaces: 'recorder/apply-settles.ts', breaks: 'the usage of a call is added twice' },
  'record-twice': { replaces: 'recorder/queue.ts', breaks: 'some calls are recorded under two ids' },
  'change-byte': { replaces: 'recorder/settlement.ts', breaks: 'one byte of a reply is stored otherwise' },
  'skip-number': {
    replaces: 'recorder/apply-settles.ts',
    breaks: 'a sequence number is left out now and then',
  },
  'forget-history': {
    replaces: 'recorder/find-match.ts',
    breaks: 'a conversation that goes on is taken for a new one',
  },
  'forget-spool': {
    replaces: 'recorder/adopt-spools.ts',
    breaks: 'what a killed gateway left in its spool is not looked at',
  },
  'lose-spooled': {
    replaces: 'recorder/spool.ts',
    breaks: 'some of what goes into the spool is acknowledged and not kept',
  },
} as const satisfies Record<string, { replaces: string; breaks: string }>

export type BreakName = keyof typeof breaks

export function isBreak(name: string): name is BreakName {
  return Object.hasOwn(breaks, name)
}

/** What Node is started with so that this guarantee is broken. */
export function breakArguments(name: BreakName): string[] {
  return ['--import', `${new URL('break-hook.ts', import.meta.url).href}?${name}`]
}

/** The module of this break and the one it replaces. */
export function breakModules(name: BreakName): { original: string; replacement: string } {
  return {
    original: new URL(`../src/${breaks[name].replaces}`, import.meta.url).href,
    replacement: new URL(`breaks/${name}.ts`, import.meta.url).href,
  }
}
