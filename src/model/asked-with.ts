/** With what something is asked for, where that is not the library itself: then the event names it. */
export interface AskedWith {
  readonly apiKeyId?: string | undefined
}
