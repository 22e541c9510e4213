/** How much of a prompt is given up for fewer tokens; docs/compression.md says what each does and may break. */
export const compressionLevels = ['low', 'medium', 'high', 'lossless'] as const

export type CompressionLevel = (typeof compressionLevels)[number]

/** What may be asked for. No model reads gzip: by that name goes the level that loses nothing either. */
export const compressionNames = ['off', ...compressionLevels, 'gzip'] as const

export type CompressionName = (typeof compressionNames)[number]

export function isCompressionName(name: unknown): name is CompressionName {
  return (compressionNames as readonly unknown[]).includes(name)
}

/** The level that a name stands for; undefined for none. */
export function levelOf(name: CompressionName): CompressionLevel | undefined {
  if (name === 'off') return undefined
  return name === 'gzip' ? 'lossless' : name
}

/** How a call was compressed that is labelled as `high/1`; undefined for one without a label. */
export function levelOfLabel(
  label: string | undefined,
): { readonly level: CompressionLevel; readonly version: number } | undefined {
  const level = compressionLevels.find(one => label?.startsWith(`${one}/`))
  return level && { level, version: Number(label?.slice(level.length + 1)) }
}
