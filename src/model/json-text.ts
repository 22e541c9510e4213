import { endOfString } from './json-shape.ts'

/**
 * Positions inside a JSON text. Requests and replies are changed and taken apart by position, never by parsing and
 * writing them again, because that would lose what a parser does not keep: long numbers, spacing, escapes.
 * All functions expect text that `JSON.parse` has accepted.
 */

/** A half-open range of character positions. */
export interface Span {
  readonly start: number
  readonly end: number
}

export interface Member extends Span {
  /** The member's name, unescaped. `start` and `end` enclose its value. */
  readonly name: string
}

const structural = /["[\]{}]/g
const notSpace = /[^ \t\n\r]/g
const endOfScalar = /[,\]}\s]/g

/** The members of the object that starts at or after `from`, in order, duplicates included. */
export function objectMembers(text: string, from = 0): Member[] {
  const members: Member[] = []
  let at = skipSpace(text, skipSpace(text, from) + 1)
  while (text.charCodeAt(at) === 0x22) {
    const nameEnd = endOfString(text, at)
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1)
    const end = endOfValue(text, start)
    members.push({ name: JSON.parse(text.slice(at, nameEnd)) as string, start, end })
    at = skipSpace(text, skipSpace(text, end) + 1)
  }
  return members
}

/** The elements of the array that starts at `from`, in order. */
export function arrayElements(text: string, from: number): Span[] {
  const elements: Span[] = []
  let at = skipSpace(text, from + 1)
  while (at < text.length && text.charCodeAt(at) !== 0x5d) {
    const end = endOfValue(text, at)
    elements.push({ start: at, end })
    const next = skipSpace(text, end)
    if (text.charCodeAt(next) !== 0x2c) break
    at = skipSpace(text, next + 1)
  }
  return elements
}

function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start)
  if (first === 0x22) return endOfString(text, start)
  if (first !== 0x7b && first !== 0x5b) return find(endOfScalar, text, start)
  let depth = 0
  structural.lastIndex = start
  for (let match = structural.exec(text); match !== null; match = structural.exec(text)) {
    const found = match[0]
    if (found === '"') structural.lastIndex = endOfString(text, match.index)
    else if (found === '{' || found === '[') depth++
    else if (--depth === 0) return match.index + 1
  }
  return text.length
}

function skipSpace(text: string, at: number): number {
  const code = text.charCodeAt(at)
  return code > 0x20 ? at : find(notSpace, text, at)
}

function find(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from
  return pattern.exec(text)?.index ?? text.length
}
