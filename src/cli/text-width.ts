const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/** East Asian wide and full-width letters, and emoji: two columns each on a terminal. */
const wide =
  /^(?:\p{Emoji_Presentation}|.\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}])/u
const invisible = /^[\p{M}\p{Cf}]+$/u
// biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII that needs no closer look
const plain = /^[\u0000-\u007f]*$/

/** How many columns `text` takes on a terminal. */
export function textWidth(text: string): number {
  if (plain.test(text)) return text.length
  let width = 0
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment)
  return width
}

/** What a person takes for the single characters of `text`. */
export function graphemesOf(text: string): string[] {
  return plain.test(text) ? [...text] : Array.from(graphemes.segment(text), ({ segment }) => segment)
}

/** `text` cut to `width` columns, with a mark where something was cut. */
export function fitText(text: string, width: number): string {
  if (textWidth(text) <= width) return text
  let kept = ''
  let used = 0
  for (const { segment } of graphemes.segment(text)) {
    used += graphemeWidth(segment)
    if (used > width - 1) break
    kept += segment
  }
  return `${kept}…`
}

function graphemeWidth(grapheme: string): number {
  if (invisible.test(grapheme)) return 0
  return wide.test(grapheme) ? 2 : 1
}
