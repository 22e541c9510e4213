/** What an export can be: lines that can be verified, or events for programs that collect them. */
export const exportFormats = ['jsonl', 'ocsf', 'cloudevents'] as const

export type ExportFormat = (typeof exportFormats)[number]
