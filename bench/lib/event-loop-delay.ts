/**
 * Preload (`node --import …/event-loop-delay.ts`) that measures how late the main thread's event loop runs. On SIGUSR2 it
 * writes `{ sequence, p50Ms, p99Ms, maxMs }` since the previous signal to the file in BENCH_EVENT_LOOP_FILE and starts over.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

const RESOLUTION_MS = 1
const file = process.env['BENCH_EVENT_LOOP_FILE']

if (isMainThread && file !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  let sequence = 0
  // The histogram holds the time between two ticks of its timer, so the timer's own period is taken off.
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS)
  process.on('SIGUSR2', () => {
    sequence += 1
    const figures = {
      sequence,
      p50Ms: late(histogram.percentile(50)),
      p99Ms: late(histogram.percentile(99)),
      maxMs: late(histogram.max),
    }
    histogram.reset()
    writeFileSync(`${file}.part`, JSON.stringify(figures))
    renameSync(`${file}.part`, file)
  })
}
