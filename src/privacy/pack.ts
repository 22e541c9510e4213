import { deflateRawSync, inflateRawSync } from 'node:zlib'

/**
 * What is frequent in what is kept, the most frequent last: how OpenAI's requests and replies are spelled, and common words.
 * Nobody's text. Never to be changed: what is packed is read with it.
 */
const dictionary = Buffer.from(
  '\n  ],\n  "usage": {\n    "prompt_tokens": 1,\n    "completion_tokens": 1,\n    "total_tokens": 1,\n    "prompt_tokens_details": ' +
    '{\n      "cached_tokens": 0,\n      "audio_tokens": 0\n    },\n    "completion_tokens_details": {\n      "reasoning_tokens": 0,\n' +
    '      "audio_tokens": 0,\n      "accepted_prediction_tokens": 0,\n      "rejected_prediction_tokens": 0\n    }\n  },\n' +
    '  "service_tier": "default",\n  "system_fingerprint": "fp_"\n}\n{\n  "id": "chatcmpl-",\n  "object": "chat.completion",\n' +
    '  "created": 17,\n  "model": "gpt-4o",\n  "choices": [\n    {\n      "index": 0,\n      "message": {\n' +
    '        "role": "assistant",\n        "content": ,\n        "refusal": null,\n        "annotations": []\n      },\n' +
    '      "logprobs": null,\n      "finish_reason": "stop"\n    }\n  ],\n  "usage": {\n    "prompt_tokens": ' +
    '{"model":"gpt-4o-mini","messages":[],"temperature":0.7,"max_tokens":256,"top_p":1,"stream":true,' +
    '"stream_options":{"include_usage":true},"tools":[{"type":"function","function":{"name":"","description":"",' +
    '"parameters":{"type":"object","properties":{"type":"string"},"required":[]}}}],"tool_calls":[{"id":"call_",' +
    '"type":"function","function":{"name":"","arguments":"{}"}}],"tool_call_id":"{"id":"resp_","object":"response",' +
    '"status":"completed","output":[{"id":"msg_","type":"message","content":[{"type":"output_text","text":"",' +
    '"annotations":[],"logprobs":[]}]}],"type":"input_text","image_url":{"url":"data:{"error":{"message":"",' +
    '"type":"invalid_request_error","param":null,"code":"{"id":"chatcmpl-","object":"chat.completion","created":17,' +
    '"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":,"refusal":null,' +
    '"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,' +
    '"total_tokens":1,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":' +
    '{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},' +
    '"service_tier":"default","system_fingerprint":"fp_"}' +
    ' could should would because between through another different following provide explain describe information ' +
    'question answer example sentence paragraph number numbers function return value values string list array code ' +
    'python javascript import print for i in range( in the following to the of the and the on the for the with the is ' +
    'a in a as a such as please write using what are how many your you can there are it is this that which from have ' +
    'been will not they their about more other some these when where while than then also each any all one two first ' +
    'if your response \\n\\n```python\\ndef ```\\n\\n## **\\n- \\n2. \\n3. \\n\\n1. ' +
    '{"role":"system","content":"You are a helpful assistant. {"role":"assistant","content":"The {"role":"user","content":"',
)

/** A window of 4 kB: setting a larger one up costs more than it saves on values of this size. */
const settings = { dictionary, windowBits: 12, memLevel: 4, level: 1, chunkSize: 1_024 }

/** Deflate with the dictionary: on short JSON it is smaller than zstd at half the time. */
export function pack(value: Uint8Array): Buffer {
  return deflateRawSync(value, settings)
}

/** The inverse. @throws Error */
export function unpack(packed: Uint8Array): Buffer {
  return inflateRawSync(packed, { dictionary, windowBits: 12 })
}
