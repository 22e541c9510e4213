/** Small pictures of numbers, for terminals. */

const eighths = [...' ▏▎▍▌▋▊▉█']
const heights = [...'▁▂▃▄▅▆▇█']

/** A bar `width` columns long where `value` is `most`, to an eighth of a column. */
export function bar(value: number, most: number, width: number): string {
  if (most <= 0 || value <= 0) return ''
  const length = Math.max(1, Math.round((Math.min(value, most) / most) * width * 8))
  return `${'█'.repeat(Math.floor(length / 8))}${(eighths[length % 8] ?? '').trim()}`
}

/** One column a number, the higher the more. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(...values)
  const steps = heights.length - 1
  return values
    .map(value => heights[most <= 0 ? 0 : Math.round((Math.max(0, value) / most) * steps)] ?? '')
    .join('')
}
