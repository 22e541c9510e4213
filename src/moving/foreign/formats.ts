/** What the formats of other programs are called. */
export const formatNames = [
  'chatgpt',
  'sessions-json',
  'synthlang',
  'bitesoft',
  'procode',
  'cortexai',
  'chat-coach',
] as const

export type FormatName = (typeof formatNames)[number]
