/** The strings of a JSON text, by position, found in one pass. Expects text that `JSON.parse` has accepted. */

export interface JsonString {
  /** Half-open, the quotes included. */
  readonly start: number
  readonly end: number
  /** The names of the members that lead to it, outermost first; elements of arrays have none. */
  readonly path: readonly string[]
}

const structural = /["[\]{},]/g

/** Calls `visit` for every string that is a value, and `visitName` for every name of a member, in the order of the text. */
export function eachString(
  text: string,
  visit: (string: JsonString) => void,
  visitName?: (name: JsonString) => void,
): void {
  // For each open object its current member's name, for each open array undefined.
  const names: (string | undefined)[] = []
  const isObject: boolean[] = []
  let expectsName = false
  structural.lastIndex = 0
  for (let found = structural.exec(text); found !== null; found = structural.exec(text)) {
    const at = found.index
    switch (found[0]) {
      case '"': {
        const end = endOfString(text, at)
        if (expectsName) {
          visitName?.({ start: at, end, path: names.slice(0, -1).filter(name => name !== undefined) })
          names[names.length - 1] = unquoted(text.slice(at, end))
          expectsName = false
        } else visit({ start: at, end, path: names.filter(name => name !== undefined) })
        structural.lastIndex = end
        break
      }
      case '{':
        names.push('')
        isObject.push(true)
        expectsName = true
        break
      case '[':
        names.push(undefined)
        isObject.push(false)
        expectsName = false
        break
      case ',':
        expectsName = isObject.at(-1) === true
        break
      default:
        names.pop()
        isObject.pop()
        expectsName = false
    }
  }
}

/** The string that stands between quotes. */
export function unquoted(quoted: string): string {
  return quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1)
}

/** A string as it stands inside the quotes of another JSON text. */
export function escaped(value: string): string {
  return JSON.stringify(value).slice(1, -1)
}

export interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** A text with stretches of it replaced. @param edits in order, none overlapping another */
export function edited(text: string, edits: readonly Edit[]): string {
  if (edits.length === 0) return text
  const pieces: string[] = []
  let at = 0
  for (const { start, end, text: replacement } of edits) {
    pieces.push(text.slice(at, start), replacement)
    at = end
  }
  return pieces.join('') + text.slice(at)
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end === -1 ? text.length : end + 1
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0
  while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++
  return slashes % 2 === 1
}
