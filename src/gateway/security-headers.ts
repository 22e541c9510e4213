/** What every reply tells whoever shows or keeps it: Stele's replies are data for one client, never a page. */
export const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
} as const

/** The same over TLS, where browsers are to come back over TLS. Not on loopback: other programs serve there too. */
export const secureTransportHeaders = {
  ...securityHeaders,
  'strict-transport-security': 'max-age=31536000',
} as const
