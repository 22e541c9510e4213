import { maybeJson } from '../model/maybe-json.ts'

/** A stretch of a text, whole lines with their ends. */
export interface Block {
  readonly text: string
  /** Words that may be put in other words; everything else stays as it is. */
  readonly isProse: boolean
}

const fence = /^[ \t]{0,3}(`{3,}|~{3,})/
const rawTag = /<(pre|code|script|style|svg|math)\b/i
const opening = /^\s*[{[]/
/** Lines of a bracketed text that are looked through for its end; one that has none there ends there. */
const longestBrackets = 400

/** Marks of code that stands among prose without a fence around it. */
const codeLine =
  /[;{}]\s*$|^\s*(?:#include|import |from \S+ import|def |class \w+[(:]|function |const |let |var |return |public |private |SELECT |INSERT |UPDATE |CREATE |\$ |>>> |\/\/|#!)|=>|==|!=|\(\)|::|<\/|\\\[|\\begin|\$\$/
const tableLine = /^\s*\|.*\||\|.*\|.*\|/
const indented = /^(?: {4}|\t)/

/** Whether a line is code beside what always counts as such. */
export type LineCheck = (lines: readonly string[], at: number) => boolean

const none: LineCheck = () => false

/** Options, loops, chains and pipes of a shell. */
const shellLine = /(?:^|\s)--?[a-z][\w-]*(?=[\s=]|$)|;\s*(?:do|done|then|fi|else)\b|&&|\|\||\s\|\s/
/** A row of data: two commas without a space behind them that part no thousands. One beside such a row has two commas at least. */
const rowLine = /,(?!\d{3}\b)[^\s,].*,(?!\d{3}\b)\S/
const commas = /,.*,/
/** A name and a value, as one of several such lines. */
const settingLine = /^[ \t]*(?:- +)?[a-z][\w.-]*:(?:\s|$)/

/** Commands, rows of data and settings that nothing encloses. */
export const bareCode: LineCheck = (lines, at) => {
  const line = lines[at] ?? ''
  if (shellLine.test(line)) return true
  const around = [lines[at - 1] ?? '', lines[at + 1] ?? '']
  const isBeside = (look: RegExp): boolean => around.some(other => look.test(other))
  if (rowLine.test(line) || (commas.test(line) && isBeside(rowLine))) return true
  return settingLine.test(line) && isBeside(settingLine)
}

/**
 * Takes a text apart into prose and what must not be touched: code, fenced, indented or bare; JSON and other bracketed data;
 * tables, formulas, raw elements of HTML. What cannot be told for sure counts as such.
 */
export function blocksOf(text: string, isCode: LineCheck = none): Block[] {
  if (isData(text)) return [{ text, isProse: false }]
  const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? []
  const blocks: Block[] = []
  let held: string[] = []
  let holdsProse = true
  const flush = (): void => {
    if (held.length > 0) blocks.push({ text: held.join(''), isProse: holdsProse })
    held = []
  }
  const add = (line: string, isProse: boolean): void => {
    if (isProse !== holdsProse) flush()
    holdsProse = isProse
    held.push(line)
  }
  for (let at = 0; at < lines.length; ) {
    const end = endOfBlock(lines, at)
    const isProse = end === at && isProseLine(lines[at] ?? '') && !isCode(lines, at)
    for (; at <= end; at++) add(lines[at] ?? '', isProse)
  }
  flush()
  return blocks
}

/** The last line of the block that begins here: this one, where it is no block. */
function endOfBlock(lines: readonly string[], at: number): number {
  const line = lines[at] ?? ''
  const [, mark] = fence.exec(line) ?? []
  if (mark !== undefined) return lineWith(lines, at + 1, other => closes(other, mark))
  const [, tag] = rawTag.exec(line) ?? []
  if (tag !== undefined) {
    const close = `</${tag.toLowerCase()}`
    return line.toLowerCase().includes(close)
      ? at
      : lineWith(lines, at + 1, other => other.toLowerCase().includes(close))
  }
  return opening.test(line) ? endOfBrackets(lines, at) : at
}

function closes(line: string, mark: string): boolean {
  const [, found] = fence.exec(line) ?? []
  return found?.[0] === mark[0] && found !== undefined && found.length >= mark.length
}

/** The first line from `from` that is looked for; the last one when none is. */
function lineWith(lines: readonly string[], from: number, isIt: (line: string) => boolean): number {
  for (let at = from; at < lines.length; at++) if (isIt(lines[at] ?? '')) return at
  return lines.length - 1
}

/** Where brackets that a line opens are all closed again. */
function endOfBrackets(lines: readonly string[], from: number): number {
  let depth = 0
  let isQuoted = false
  const last = Math.min(lines.length, from + longestBrackets) - 1
  for (let at = from; at <= last; at++) {
    const line = lines[at] ?? ''
    for (let index = 0; index < line.length; index++) {
      const one = line[index]
      if (isQuoted && one === '\\') index++
      else if (one === '"') isQuoted = !isQuoted
      else if (isQuoted) continue
      else if (one === '{' || one === '[') depth++
      else if (one === '}' || one === ']') depth--
    }
    if (depth <= 0) return at
  }
  return last
}

function isProseLine(line: string): boolean {
  return !(
    codeLine.test(line) ||
    tableLine.test(line) ||
    indented.test(line) ||
    opening.test(line) ||
    rawTag.test(line)
  )
}

/** Whether a whole text is JSON. */
function isData(text: string): boolean {
  const value = opening.test(text) ? maybeJson(text) : undefined
  return typeof value === 'object' && value !== null
}
