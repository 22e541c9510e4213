/**
 * What a terminal would obey instead of showing: C0 and C1 controls (escape sequences start with one), line and
 * paragraph separators, and the marks that reverse the order of text.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const obeyed = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** `text` in one line that is safe to show: what a terminal would obey is spelled out. */
export function printableLine(text: string): string {
  return text.replace(obeyed, spelled)
}

/** The same for text of several lines: line ends and tabs stay. */
export function printableText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(obeyed, char => (char === '\n' || char === '\t' ? char : spelled(char)))
}

/** JSON text with every such character escaped; it means the same. */
export function printableJson(json: string): string {
  return json.replace(obeyed, char => (char === '\n' ? char : unicodeEscape(char)))
}

/** CSV with every such character spelled out; tabs and line ends stay, of which CSV knows what they are. */
export function printableCsv(csv: string): string {
  return csv.replace(obeyed, char => ('\t\r\n'.includes(char) ? char : spelled(char)))
}

function spelled(char: string): string {
  if (char === '\n') return '\\n'
  if (char === '\r') return '\\r'
  if (char === '\t') return '\\t'
  const code = char.charCodeAt(0)
  return code > 0xff ? unicodeEscape(char) : `\\x${code.toString(16).padStart(2, '0')}`
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}
