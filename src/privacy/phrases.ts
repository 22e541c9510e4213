/**
 * What replies and requests of chats are made of around their words, as OpenAI and those who speak like it write it. Never to be
 * changed, only added to: what is stored is read with it.
 */
const phrases = [
  '{"id":"chatcmpl-',
  '","object":"chat.completion","created":1',
  ',"model":"',
  ',"choices":[{"index":0,"message":{"role":"assistant","content":',
  ',"refusal":null',
  ',"annotations":[]',
  '},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":',
  ',"completion_tokens":',
  ',"total_tokens":',
  ',"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}',
  ',"service_tier":"default"',
  ',"system_fingerprint":"fp_',
  '{"model":"',
  '","messages":[]',
  '{\n  "id": "chatcmpl-',
  '",\n  "object": "chat.completion",\n  "created": 1',
  ',\n  "model": "',
  '",\n  "choices": [\n    {\n      "index": 0,\n      "message": {\n        "role": "assistant",\n        "content": ',
  ',\n        "refusal": null',
  ',\n        "annotations": []',
  '\n      },\n      "logprobs": null,\n      "finish_reason": "stop"\n    }\n  ],\n  "usage": {\n    "prompt_tokens": ',
  ',\n    "completion_tokens": ',
  ',\n    "total_tokens": ',
  ',\n  "service_tier": "default"',
  ',\n  "system_fingerprint": "fp_',
]

/** Bytes that JSON text never holds: each stands for the phrase of its number. */
const codes = [...Array(32).keys()].filter(code => ![0x00, 0x09, 0x0a, 0x0d].includes(code))
const codeOf = new Map(phrases.map((phrase, index) => [phrase, String.fromCharCode(codes[index] ?? 0)]))
const phraseOf = new Map([...codeOf].map(([phrase, code]) => [code, phrase]))

const anyPhrase = new RegExp(
  phrases
    .toSorted((a, b) => b.length - a.length)
    .map(phrase => phrase.replace(/[\\^$.*+?()[\]{}|]/g, sign => `\\${sign}`))
    .join('|'),
  'g',
)
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what stands for phrases
const anyCode = /[\u0001-\u0008\u000b\u000c\u000e-\u001f]/
const everyCode = new RegExp(anyCode.source, 'g')

/** A value with each phrase as one byte; undefined when it holds such bytes itself. */
export function shorten(value: Buffer): Buffer | undefined {
  const text = value.toString('latin1')
  if (anyCode.test(text)) return undefined
  return Buffer.from(
    text.replace(anyPhrase, phrase => codeOf.get(phrase) ?? phrase),
    'latin1',
  )
}

/** The inverse. */
export function lengthen(value: Buffer): Buffer {
  return Buffer.from(
    value.toString('latin1').replace(everyCode, code => phraseOf.get(code) ?? code),
    'latin1',
  )
}
