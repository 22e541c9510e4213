/** How many rows of another program's table are read at once. */

/** Pages grow to so many rows, and shrink when they hold more bytes than that. */
const pageRows = 500
const pageBytes = 4 * 1024 * 1024

export const firstPageSize = 16

/** How many rows the next page should have, after one of `rows` rows with `bytes` bytes. */
export function nextPageSize(rows: number, bytes: number): number {
  if (bytes > pageBytes) return Math.max(1, Math.floor(rows / 4))
  return bytes * 4 > pageBytes ? rows : Math.min(pageRows, rows * 4)
}
