import { isFields } from '../../model/reply.ts'

type Fields = Record<string, unknown>

/** A piece of a text that a stream tells in pieces. */
export interface Piece {
  /** Pieces of the same text have the same. */
  readonly channel: string
  readonly text: string
  /** The name of the member that holds it. */
  readonly name: string
  /** Puts another text in its place. */
  replace(text: string): void
  /** An event like this one that tells only this text. */
  alone(text: string): Fields
}

/** Words of the protocol, which come whole. */
const notTold: ReadonlySet<string> = new Set(['role', 'type', 'id', 'name', 'call_id', 'status'])

/** The pieces in an event of a stream: of chat completions, legacy completions or responses. */
export function piecesOf(event: Fields): Piece[] {
  if (Array.isArray(event['choices'])) return event['choices'].filter(isFields).flatMap(choicePieces(event))
  const { type, delta, item_id: item } = event
  if (typeof delta !== 'string' || typeof type !== 'string') return []
  const index = event['content_index'] ?? event['summary_index'] ?? ''
  return [
    {
      channel: `${String(item)} ${String(index)} ${type}`,
      text: delta,
      name: type.includes('arguments') ? 'arguments' : type.includes('text') ? 'delta' : 'input',
      replace: text => {
        event['delta'] = text
      },
      alone: text => ({
        ...event,
        delta: text,
        ...(Array.isArray(event['logprobs']) ? { logprobs: [] } : {}),
      }),
    },
  ]
}

/** The texts that end with an event, by how their channels begin; '' for all. */
export function endedBy(event: Fields): string[] {
  if (Array.isArray(event['choices']))
    return event['choices']
      .filter(isFields)
      .filter(choice => choice['finish_reason'] != null)
      .map(choice => `${indexOf(choice, 0)}.`)
  if (typeof event['delta'] === 'string') return []
  if (typeof event['item_id'] === 'string') return [`${event['item_id']} `]
  return isFields(event['response']) ? [''] : []
}

function choicePieces(event: Fields) {
  return (choice: Readonly<Fields>, position: number): Piece[] => {
    const index = indexOf(choice, position)
    const alone = (said: Fields): Fields => {
      const { usage: _, ...rest } = event
      return { ...rest, choices: [{ index, ...said, logprobs: null, finish_reason: null }] }
    }
    const { text } = choice
    if (typeof text === 'string')
      return [
        {
          channel: `${index}.text`,
          text,
          name: 'text',
          replace: replacement => {
            ;(choice as Fields)['text'] = replacement
          },
          alone: one => alone({ text: one }),
        },
      ]
    return isFields(choice['delta'])
      ? memberPieces(choice['delta'], `${index}.`, delta => alone({ delta }))
      : []
  }
}

function memberPieces(holder: Readonly<Fields>, channel: string, around: (said: Fields) => Fields): Piece[] {
  return Object.entries(holder).flatMap(([name, value]): Piece[] => {
    if (typeof value === 'string' && !notTold.has(name))
      return [
        {
          channel: channel + name,
          text: value,
          name,
          replace: text => {
            ;(holder as Fields)[name] = text
          },
          alone: text => around({ [name]: text }),
        },
      ]
    if (isFields(value)) return memberPieces(value, `${channel}${name}.`, said => around({ [name]: said }))
    if (!Array.isArray(value)) return []
    return value.filter(isFields).flatMap((one, position) => {
      const index = indexOf(one, position)
      return memberPieces(one, `${channel}${name}.${index}.`, said =>
        around({ [name]: [{ index, ...said }] }),
      )
    })
  })
}

function indexOf(fields: Readonly<Fields>, position: number): number {
  return typeof fields['index'] === 'number' ? fields['index'] : position
}
