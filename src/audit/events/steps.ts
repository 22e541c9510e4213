import type { PreparedEvent } from './application-event.ts'

/** Events that are written in one transaction. Plain data: it crosses to the writer thread. Their ids make repeating it harmless. */
export interface EventsStep {
  readonly events: readonly PreparedEvent[]
}

export interface EventsStepResult {
  /** How many of them were not there yet. */
  readonly written: number
}

/** Writes events. @throws SteleError already_exists, user_erasing, store_unavailable */
export type DoEventsStep = (step: EventsStep) => Promise<EventsStepResult>
