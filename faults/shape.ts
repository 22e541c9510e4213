import { existsSync, readFileSync } from 'node:fs'
import type { Random } from './random.ts'

/** When the next request comes and how long it and its answer are. */
export interface Arrival {
  readonly gapMs: number
  readonly promptTokens: number
  readonly replyTokens: number
}

/** Where load gets its arrival times and sizes from. */
export interface Shape {
  readonly name: string
  arrivals(random: Random): Generator<Arrival, never>
}

const longestGapMs = 500
const maxPromptTokens = 1_500
const maxReplyTokens = 500

/** Requests a second of the trace, and the middles of its sizes: what the made-up shape is made after. */
const traceRate = 5.5
const medianPromptTokens = 1_020
const medianReplyTokens = 129

/**
 * The arrivals of a production service: Azure's conversation trace of 2023 (github.com/Azure/AzurePublicDataset, CC-BY;
 * Patel et al., "Splitwise", ISCA 2024), `speed` times as fast, from a random place on. Without the file, Poisson
 * arrivals and log-normal sizes of about the same rate and medians.
 */
export function loadShape(path: string, speed: number): Shape {
  return existsSync(path) ? traceShape(path, speed) : madeUpShape(speed)
}

export function madeUpShape(speed: number): Shape {
  return {
    name: `Poisson arrivals, log-normal sizes, ${Math.round(traceRate * speed)} a second`,
    *arrivals(random) {
      for (;;) {
        yield bounded({
          gapMs: random.exponential(1000 / traceRate / speed),
          promptTokens: random.logNormal(medianPromptTokens, 0.8),
          replyTokens: random.logNormal(medianReplyTokens, 1),
        })
      }
    },
  }
}

const columns = 'TIMESTAMP,ContextTokens,GeneratedTokens'

function traceShape(path: string, speed: number): Shape {
  const [heading, ...lines] = readFileSync(path, 'utf8').trim().split('\n')
  if (heading?.trim() !== columns)
    throw new Error(`${path} is not the trace: it does not begin with ${columns}`)
  const requests = lines.map(line => {
    const [time = '', prompt = '', reply = ''] = line.split(',')
    // Milliseconds are enough, and more digits than Date.parse takes everywhere.
    const at = Date.parse(`${time.slice(0, 23).replace(' ', 'T')}Z`)
    return { at, promptTokens: Number(prompt), replyTokens: Number(reply) }
  })
  return {
    name: `Azure's conversation trace of 2023, ${speed} times as fast`,
    *arrivals(random) {
      for (let index = random.integer(0, requests.length - 1), previous = Number.NaN; ; index++) {
        const { at, promptTokens, replyTokens } = requests[index % requests.length] ?? {
          at: 0,
          promptTokens: 1,
          replyTokens: 1,
        }
        const gapMs = at >= previous ? (at - previous) / speed : 0
        previous = at
        yield bounded({ gapMs, promptTokens, replyTokens })
      }
    },
  }
}

function bounded({ gapMs, promptTokens, replyTokens }: Arrival): Arrival {
  return {
    gapMs: Math.min(gapMs, longestGapMs),
    promptTokens: clamp(promptTokens, maxPromptTokens),
    replyTokens: clamp(replyTokens, maxReplyTokens),
  }
}

function clamp(tokens: number, most: number): number {
  return Math.max(1, Math.min(most, Math.round(tokens)))
}
