/**
 * Money without floating point. Prices are whole femto-US-dollars (10^-15) for one token or one call, so that a price per
 * million tokens is exact to nine decimals; costs are whole nano-US-dollars. A cost is rounded once, at its end, half up.
 */

const decimals = 9
const femtoPerNano = 1_000_000n
const femtoPerDollar = 10n ** 15n

/** Femto-dollars a token for a price in US dollars per million tokens; beyond nine decimals it is rounded. */
export function perToken(dollarsPerMillion: number): bigint {
  return scaled(dollarsPerMillion)
}

/** Femto-dollars for a price in US dollars a piece. */
export function perPiece(dollars: number): bigint {
  return (scaled(dollars) * femtoPerDollar) / 10n ** BigInt(decimals)
}

/** Femto-dollars for whole nano-dollars. */
export function fromNano(nano: number): bigint {
  return BigInt(nano) * femtoPerNano
}

/** Whole nano-dollars, rounded half up; undefined beyond what a number holds exactly. */
export function toNano(femto: bigint): number | undefined {
  const nano = (femto + femtoPerNano / 2n) / femtoPerNano
  return nano > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(nano)
}

/** The digits of an amount of femto-dollars as US dollars, exact: '0.00000125'. */
export function dollarsText(femto: bigint): string {
  const whole = femto / femtoPerDollar
  const rest = (femto % femtoPerDollar).toString().padStart(15, '0').replace(/0+$/, '')
  return rest === '' ? String(whole) : `${whole}.${rest}`
}

/** Exact: the digits of a decimal fraction, not of the binary one that stands for it. */
function scaled(value: number): bigint {
  return BigInt(value.toFixed(decimals).replace('.', ''))
}
