import { expect, test } from 'vitest'
import { historyMark, markedSeq, toldHistory } from '../../src/model/responses/told-history.ts'

test('a history is told in this form for ever: requests on record are made of it', () => {
  const messages = [
    { role: 'system', content: 'Be "brief".' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'Größe?' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,AA', detail: 'high' } },
        { type: 'image_url', image_url: { url: 'https://example.org/a.png' } },
        { type: 'file', file: { filename: 'a.txt', file_data: 'data:text/plain;base64,AA' } },
      ],
    },
    {
      role: 'assistant',
      content: 'Let me look.',
      tool_calls: [
        { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{ }' } },
        { id: 'call_b', type: 'custom', custom: { name: 'c', input: 'in' } },
      ],
    },
    { role: 'tool', tool_call_id: 'call_a', content: 'out' },
    { role: 'tool', tool_call_id: 'call_b', content: [{ type: 'text', text: 'out' }] },
    { role: 'assistant', content: null, refusal: 'No.' },
    { role: 'assistant', content: '' },
    { role: 'developer', content: null },
  ]
  expect(toldHistory(messages.map(message => JSON.stringify(message)))).toBe(
    [
      '{"type":"message","role":"system","content":"Be \\"brief\\"."}',
      '{"type":"message","role":"user","content":[{"type":"input_text","text":"Größe?"},{"type":"input_image","image_url":"data:image/png;base64,AA","detail":"high"},{"type":"input_image","image_url":"https://example.org/a.png","detail":"auto"},{"type":"input_file","filename":"a.txt","file_data":"data:text/plain;base64,AA"}]}',
      '{"type":"message","role":"assistant","content":"Let me look."}',
      '{"type":"function_call","call_id":"call_a","name":"f","arguments":"{ }"}',
      '{"type":"custom_tool_call","call_id":"call_b","name":"c","input":"in"}',
      '{"type":"function_call_output","call_id":"call_a","output":"out"}',
      '{"type":"custom_tool_call_output","call_id":"call_b","output":[{"type":"input_text","text":"out"}]}',
      '{"type":"message","role":"assistant","content":"No."}',
      '{"type":"message","role":"developer","content":""}',
    ].join(','),
  )
  expect(toldHistory([])).toBe('')
})

test('a mark of a history is no separator', () => {
  expect(markedSeq(historyMark(17))).toBe(17)
  for (const separator of [null, ',', ' ,\n', 'items:', 'items:x'])
    expect(markedSeq(separator)).toBeUndefined()
})
