/** A stretch of a line. */
export interface Piece {
  readonly text: string
  readonly isProse: boolean
}

/**
 * What stands among words and is none, or must stay to the letter: code, what is quoted, addresses, paths, names of files, tags,
 * anything in brackets (placeholders too), formulas. Every repetition has a bound: no line takes long.
 */
const verbatim = new RegExp(
  [
    '``[^\\n]{1,400}?``',
    '`[^`\\n]{1,400}`',
    '"[^"\\n]{1,4000}"',
    '“[^“”\\n]{1,4000}”',
    '«[^«»\\n]{1,400}»',
    '‘[^‘’\\n]{1,400}’(?![a-z])',
    "(?<![\\p{L}\\d])'[^'\\n]{1,400}'(?![\\p{L}\\d])",
    '\\$[^$\\n]{1,200}\\$',
    '\\\\\\([^\\n]{1,200}?\\\\\\)',
    '\\{[^{}\\n]{0,400}\\}',
    '\\[[^\\[\\]\\n]{0,400}\\](?:\\([^()\\n]{0,400}\\))?',
    '<[^<>\\n]{1,200}>',
    '(?<![a-z\\d+.-])[a-z][a-z\\d+.-]{1,20}://\\S{1,2000}',
    'www\\.\\S{1,400}',
    '(?<![\\w.+-])[\\w.+-]{1,64}@[\\w.-]{1,200}',
    '(?<!\\S)[~.]{0,2}/\\S{1,400}',
    '(?<!\\S)[A-Za-z]:\\\\\\S{1,400}',
    '\\b\\w{1,64}(?:\\.\\w{1,64}){1,8}\\b',
    '(?<!\\w)\\w{0,64}_\\w{1,64}\\b',
    '(?<!\\S)\\S{1,40}\\s{0,3}[=<>+*/^]\\s{0,3}\\S{1,40}',
  ].join('|'),
  'giu',
)

/** Takes a line apart into words and what is to stay to the letter. */
export function piecesOf(line: string): Piece[] {
  const pieces: Piece[] = []
  let at = 0
  for (const { 0: found, index } of line.matchAll(verbatim)) {
    if (index > at) pieces.push({ text: line.slice(at, index), isProse: true })
    pieces.push({ text: found, isProse: false })
    at = index + found.length
  }
  if (at < line.length) pieces.push({ text: line.slice(at), isProse: true })
  return pieces
}
