import { isFields } from './reply.ts'

const longest = 60

/** Less than this much of the room is not given up to end at a word: some languages have no spaces. */
const shortestShare = 0.5

/**
 * A title from the message that a conversation begins with: its first line or sentence, without Markdown, at most 60
 * characters. Undefined when the message has no text.
 * @param raw the message as JSON text
 */
export function titleFrom(raw: string): string | undefined {
  const message: unknown = JSON.parse(raw)
  const text = isFields(message) ? textOf(message['content']) : ''
  const line = text
    .split(/[\r\n\u2028\u2029]+/)
    .map(plain)
    .find(part => part !== '')
  return line === undefined ? undefined : shortened(firstSentence(line))
}

/** The text parts of a message's content. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .flatMap((part: unknown) => (isFields(part) && typeof part['text'] === 'string' ? [part['text']] : []))
    .join('\n')
}

/** One line without the marks of Markdown; nothing of a line that holds nothing else, such as a code fence. */
function plain(line: string): string {
  if (/^\s*(```|~~~)/.test(line)) return ''
  return line
    .replace(/^\s*(?:#{1,6}\s+|>\s*|[-*+]\s+|\d+[.)]\s+)+/, '')
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/`+|\*\*|__|~~/g, '')
    .replace(/(^|[\s(])[*_](\S(?:[^*_]*\S)?)[*_](?=$|[\s).,;:!?])/g, '$1$2')
    .replace(/[\p{Cc}\p{Z}]+/gu, ' ')
    .trim()
    .replace(/^[-=*_#>]+$/, '')
}

function firstSentence(line: string): string {
  const end = /[.!?](?=\s)|[。！？]/u.exec(line)
  if (end === null) return line
  const sentence = line.slice(0, end.index + 1)
  // An abbreviation or a number is no sentence.
  return sentence.length < 12 ? line : sentence
}

function shortened(text: string): string {
  const letters = [...new Intl.Segmenter('en').segment(text)].map(({ segment }) => segment)
  if (letters.length <= longest) return text
  const room = letters.slice(0, longest - 1).join('')
  const isWordEnd = letters[longest - 1] === ' '
  const space = isWordEnd ? room.length : room.lastIndexOf(' ')
  const end = space >= room.length * shortestShare ? space : room.length
  return `${room.slice(0, end).replace(/[\s,;:.–—-]+$/u, '')}…`
}
