/** How answers are found again: not at all, to the very same request, or also to one that means the same. */
export const cacheModes = ['off', 'exact', 'semantic'] as const

export type CacheMode = (typeof cacheModes)[number]

export function isCacheMode(word: string): word is CacheMode {
  return (cacheModes as readonly string[]).includes(word)
}

/** The name of a partition that several users share. Nobody's is called so whose answers are their own. */
export const partitionName = /^(?!user$)[a-z0-9][a-z0-9_-]{0,63}$/

/** What an API key says of how its calls are cached; what is undefined is as everywhere. */
export interface KeyCaching {
  readonly mode?: CacheMode | undefined
  readonly partition?: string | undefined
}

const partitionStart = 'in:'

/** As it stands in a column; null when nothing is said. */
export function keyCachingText({ mode, partition }: KeyCaching = {}): string | null {
  const words = [
    ...(mode === undefined ? [] : [mode]),
    ...(partition === undefined ? [] : [partitionStart + partition]),
  ]
  return words.length === 0 ? null : words.join(' ')
}

/** The inverse; undefined when nothing is said. */
export function keyCachingOf(text: string | null): KeyCaching | undefined {
  if (text === null) return undefined
  const words = text.split(' ')
  return {
    mode: words.find(isCacheMode),
    partition: words.find(word => word.startsWith(partitionStart))?.slice(partitionStart.length),
  }
}
