import { type CountryCode, isSupportedCountry } from 'libphonenumber-js'
import { z } from 'zod'
import { kindName, type SafePattern, safePattern } from './privacy/masking/safe-pattern.ts'

/** What is masked beside what Stele finds itself, and how. Where it is masked stands with the other settings. */
export const masking = z.strictObject({
  /** Where telephone numbers are dialled that name no country, by its ISO code. */
  phoneRegion: z
    .string()
    .refine(
      (code): code is CountryCode => isSupportedCountry(code),
      'it must be a country in two capital letters',
    )
    .default('US'),
  /** Own patterns, by the kind that their placeholders name. */
  patterns: z
    .record(z.string().regex(kindName, 'capital letters and _ only, 2 to 32'), z.string().min(1))
    .superRefine((patterns, context) => {
      for (const [kind, source] of Object.entries(patterns)) {
        try {
          safePattern(kind, source)
        } catch (error) {
          const message =
            error instanceof SyntaxError ? 'it is no regular expression' : (error as Error).message
          context.addIssue({ code: 'custom', path: [kind], message })
        }
      }
    })
    .default({}),
  /** An analyzer of Presidio's, asked beside. While it is down no request is answered that is to be masked. */
  presidio: z
    .strictObject({
      /** The address under which it has `/analyze`. */
      url: z.url({ protocol: /^https?$/ }),
      /** Seconds that an answer may take. */
      timeout: z.number().positive().max(300).default(5),
      language: z.string().min(2).max(8).default('en'),
      /** What is asked for, by Presidio's names: what only its language models find. */
      entities: z.array(z.string().min(1)).min(1).default(['PERSON', 'LOCATION', 'NRP']),
      /** Findings that it is less sure of do not count. */
      minScore: z.number().min(0).max(1).default(0.5),
    })
    .optional(),
})

export type MaskingConfig = z.infer<typeof masking>

export function maskingPatterns({ patterns }: Pick<MaskingConfig, 'patterns'>): SafePattern[] {
  return Object.entries(patterns).map(([kind, source]) => safePattern(kind, source))
}
