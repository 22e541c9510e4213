import { Lexer, type Token, type Tokens } from 'marked'
import { printableText } from '../printable.ts'
import { inlineSpans } from './markdown-inline.ts'
import { tableLines } from './markdown-table.ts'
import type { Line, Span, Style } from './styled.ts'
import { wrapAnywhere, wrapWords } from './wrap.ts'

/** Deeper lists and quotes are shown as their text. */
const deepest = 8
const narrowest = 12

const heading: Style = { bold: true, color: 'cyan' }
const quiet: Style = { dim: true }
const code: Style = { color: 'green' }

/** A Markdown text as lines of a terminal. */
export function markdownLines(text: string, width: number): Line[] {
  return blockLines(blocksOf(printableText(text)), width)
}

/** A hundred quotes and lists, one in another. A parser goes into each, as deep as its stack happens to reach. */
const beyondReason = /^(?:[ \t]*(?:>|[-*+](?=[ \t])|\d{1,9}[.)](?=[ \t]))){100}/m

/** The blocks of a Markdown text; of one that is nested beyond all reason, the text as it stands. */
export function blocksOf(text: string): Token[] {
  if (beyondReason.test(text)) return [{ type: 'text', raw: text, text }]
  try {
    return new Lexer({ gfm: true }).lex(text)
  } catch {
    return [{ type: 'text', raw: text, text }]
  }
}

/** Blocks with a blank line between them. */
export function blockLines(blocks: readonly Token[], width: number, depth = 0): Line[] {
  const lines: Line[] = []
  for (const block of blocks) {
    const own = linesOf(block, width, depth)
    if (own.length === 0) continue
    if (lines.length > 0) lines.push([])
    lines.push(...own)
  }
  return lines
}

function linesOf(token: Token, width: number, depth: number): Line[] {
  if (depth > deepest) return wrapAnywhere([{ text: token.raw.trimEnd() }], width)
  switch (token.type) {
    case 'space':
      return []
    case 'heading': {
      const { depth: level, tokens } = token as Tokens.Heading
      return wrapWords(inlineSpans(tokens, { ...heading, underline: level === 1 }), width)
    }
    case 'paragraph':
      return wrapWords(inlineSpans((token as Tokens.Paragraph).tokens), width)
    case 'text': {
      const { tokens, text } = token as Tokens.Text
      return wrapWords(tokens === undefined ? [{ text }] : inlineSpans(tokens), width)
    }
    case 'code':
      return codeLines(token as Tokens.Code, width)
    case 'list':
      return listLines(token as Tokens.List, width, depth)
    case 'blockquote': {
      const { tokens } = token as Tokens.Blockquote
      return behind(
        { text: '│ ', style: quiet },
        blockLines(tokens, Math.max(narrowest, width - 2), depth + 1),
      )
    }
    case 'hr':
      return [[{ text: '─'.repeat(Math.max(1, width)), style: quiet }]]
    case 'table':
      return tableLines(token as Tokens.Table, width)
    default:
      return wrapAnywhere([{ text: token.raw.trimEnd() }], width)
  }
}

function codeLines({ text, lang }: Tokens.Code, width: number): Line[] {
  const bar = { text: '▏ ', style: quiet }
  const name =
    lang === undefined || lang === '' ? [] : wrapAnywhere([{ text: lang, style: quiet }], width - 2)
  return behind(bar, [...name, ...wrapAnywhere([{ text, style: code }], Math.max(1, width - 2))])
}

function listLines({ ordered, start, items, loose }: Tokens.List, width: number, depth: number): Line[] {
  const first = typeof start === 'number' ? start : 1
  const lines: Line[] = []
  for (const [index, item] of items.entries()) {
    const mark = ordered ? `${first + index}. ` : item.task ? `${item.checked === true ? '☑' : '☐'} ` : '• '
    const own = itemLines(item, Math.max(narrowest, width - mark.length), depth + 1)
    if (loose && lines.length > 0) lines.push([])
    const blank = { text: ' '.repeat(mark.length) }
    const shown = own.length === 0 ? [[]] : own
    lines.push(
      ...shown.map(
        (line, at): Line => [at === 0 ? { text: mark, style: { color: 'cyan' } } : blank, ...line],
      ),
    )
  }
  return lines
}

/** What an item says: a list right under its text, other blocks apart. */
function itemLines({ tokens, loose }: Tokens.ListItem, width: number, depth: number): Line[] {
  const shown = tokens.filter(({ type }) => type !== 'checkbox')
  if (loose) return blockLines(shown, width, depth)
  return shown.flatMap(token => linesOf(token, width, depth))
}

function behind(mark: Span, lines: readonly Line[]): Line[] {
  return lines.map(line => [mark, ...line])
}
