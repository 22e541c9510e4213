import type { Token, Tokens } from 'marked'
import { printableText } from '../printable.ts'
import type { Span, Style } from './styled.ts'

/** What stands in a line of Markdown, as it looks. Marks that a terminal cannot show are left as they were written. */
export function inlineSpans(tokens: readonly Token[], style: Style = {}): Span[] {
  return tokens.flatMap(token => spansOf(token, style))
}

function spansOf(token: Token, style: Style): Span[] {
  switch (token.type) {
    case 'strong':
      return inlineSpans((token as Tokens.Strong).tokens, { ...style, bold: true })
    case 'em':
      return inlineSpans((token as Tokens.Em).tokens, { ...style, italic: true })
    case 'del':
      return inlineSpans((token as Tokens.Del).tokens, { ...style, struck: true })
    case 'codespan':
      return [{ text: (token as Tokens.Codespan).text, style: { ...style, color: 'green' } }]
    case 'br':
      return [{ text: '\n' }]
    case 'link':
      return linkSpans(token as Tokens.Link, style)
    case 'image': {
      const { text, href } = token as Tokens.Image
      return [{ text: `[${text}] (${href})`, style: { ...style, dim: true } }]
    }
    case 'escape':
      return [{ text: (token as Tokens.Escape).text, style }]
    case 'text': {
      const { tokens, text } = token as Tokens.Text
      if (tokens !== undefined) return inlineSpans(tokens, style)
      // What was written as a character's number is that character here.
      return [{ text: printableText(withEntities(text)), style }]
    }
    default:
      return [{ text: token.raw, style }]
  }
}

/** A link's words and where it leads, which a terminal would otherwise not tell. */
function linkSpans({ href, text, tokens }: Tokens.Link, style: Style): Span[] {
  const words = inlineSpans(tokens, { ...style, underline: true, color: 'blue' })
  const isPlain = text === href || `mailto:${text}` === href
  return isPlain ? words : [...words, { text: ` (${href})`, style: { ...style, dim: true } }]
}

const entities: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
  '&nbsp;': '\u00a0',
}

function withEntities(text: string): string {
  return text.replace(/&(?:amp|lt|gt|quot|#39|nbsp);/g, entity => entities[entity] ?? entity)
}
