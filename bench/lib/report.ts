/** A line for people; data alone goes to stdout. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** The benchmark's one JSON line. */
export function printResult(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result)}\n`)
}

/** An aligned table on stderr; the first row is the heading, numbers are right-aligned. */
export function table(rows: readonly (readonly (string | number)[])[]): void {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, String(cell).length)
    })
  for (const row of rows) {
    const cells = row.map((cell, i) =>
      i === 0 ? String(cell).padEnd(widths[i] ?? 0) : String(cell).padStart(widths[i] ?? 0),
    )
    say(`  ${cells.join('  ')}`)
  }
}
