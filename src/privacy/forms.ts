/**
 * The first byte of a content value says how the rest is to be read. Forms are never reused. `plain`, `zstd`, `packed`,
 * `phrased` and `absent` are how content travels in memory; a database holds `sealed`, `signed`, `digest` and `absent` (and, from before
 * content was encrypted, `plain` and `zstd`). docs/encryption.md has the exact layout.
 */
export const form = {
  plain: 0x01,
  zstd: 0x02,
  absent: 0x03,
  sealed: 0x04,
  packed: 0x05,
  signed: 0x06,
  digest: 0x07,
  phrased: 0x08,
} as const
