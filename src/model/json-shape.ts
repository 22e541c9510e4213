/** Deeper texts are refused: nothing real nests so far, and code that walks them recursively must not overflow. */
export const maxDepth = 256

/** What a JSON text holds, counted without parsing it. All functions are loops: no depth overflows them. */
interface JsonShape {
  /** How deep arrays and objects nest. */
  readonly depth: number
  /** Arrays, objects and what commas separate in them: at least as many as there are values. */
  readonly values: number
  /** Strings, the names of members among them. */
  readonly strings: number
}

/**
 * Counts what a text holds that is to be JSON; of a text that is not, the counts mean nothing. It stops where a limit
 * is exceeded, and the counts then say so.
 */
export function jsonShape(text: string, most: { depth: number; values: number }): JsonShape {
  let depth = 0
  let deepest = 0
  let values = 0
  let strings = 0
  for (let at = 0; at < text.length && deepest <= most.depth && values <= most.values; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22:
        strings++
        at = endOfString(text, at) - 1
        break
      case 0x5b:
      case 0x7b:
        values++
        depth++
        if (depth > deepest) deepest = depth
        break
      case 0x5d:
      case 0x7d:
        depth--
        break
      case 0x2c:
        values++
    }
  }
  return { depth: deepest, values, strings }
}

/** Whether a text that is to be JSON nests no deeper. */
export function nestsWithin(text: string, depth: number): boolean {
  return text.length <= depth || jsonShape(text, { depth, values: Number.POSITIVE_INFINITY }).depth <= depth
}

/** The position after the closing quote of the string that opens at `start`. */
export function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end === -1 ? text.length : end + 1
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0
  while (text.charCodeAt(at - 1 - backslashes) === 0x5c) backslashes++
  return backslashes % 2 === 1
}

/** The strings of a parsed value, names of members among them: as many as in its text, unless a name stood there twice. */
export function countStrings(value: unknown): number {
  let strings = 0
  const open: unknown[] = [value]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next === 'string') strings++
    else if (Array.isArray(next)) for (const element of next) open.push(element)
    else if (typeof next === 'object' && next !== null) {
      for (const name of Object.keys(next)) {
        strings++
        open.push((next as Readonly<Record<string, unknown>>)[name])
      }
    }
  }
  return strings
}

/** The first name that an object anywhere in a JSON text has twice. */
export function duplicateName(text: string): string | undefined {
  /** The names met in each object that is open; undefined for an array. */
  const open: (Set<string> | undefined)[] = []
  for (let at = 0; at < text.length; at++) {
    const found = text[at]
    if (found === '{') open.push(new Set())
    else if (found === '[') open.push(undefined)
    else if (found === '}' || found === ']') open.pop()
    else if (found === '"') {
      const end = endOfString(text, at)
      const names = open.at(-1)
      if (names !== undefined && isName(text, end)) {
        const name = JSON.parse(text.slice(at, end)) as string
        if (names.has(name)) return name
        names.add(name)
      }
      at = end - 1
    }
  }
  return undefined
}

function isName(text: string, end: number): boolean {
  let at = end
  while (text.charCodeAt(at) <= 0x20) at++
  return text[at] === ':'
}
