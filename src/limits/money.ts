const nanoPerDollar = 9

/** Nano-US-dollars of an amount in dollars, as in `5` or `0.25`; undefined when it is none, or more than a number holds exactly. */
export function nanousdOf(dollars: string): number | undefined {
  const [, whole, decimals = ''] = /^(\d{1,7})(?:\.(\d{1,9}))?$/.exec(dollars) ?? []
  if (whole === undefined) return undefined
  const nanousd = Number(whole + decimals.padEnd(nanoPerDollar, '0'))
  return Number.isSafeInteger(nanousd) ? nanousd : undefined
}

/** The same the other way round, with cents at least. */
export function dollarsOf(nanousd: number): string {
  const digits = String(nanousd).padStart(nanoPerDollar + 1, '0')
  const decimals = digits.slice(-nanoPerDollar).replace(/0+$/, '').padEnd(2, '0')
  return `$${digits.slice(0, -nanoPerDollar)}.${decimals}`
}
