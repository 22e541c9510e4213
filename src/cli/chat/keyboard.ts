import { emitKeypressEvents } from 'node:readline'
import type { ReadStream } from 'node:tty'

/** A key, or a text that was pasted. */
export interface Key {
  /** As Node's readline names it; `paste` for a pasted text, undefined for a character without a name. */
  readonly name: string | undefined
  /** What it writes. */
  readonly text: string
  readonly ctrl: boolean
  readonly meta: boolean
}

interface Pressed {
  readonly name?: string
  readonly ctrl?: boolean
  readonly meta?: boolean
}

const pasteOn = '\u001b[?2004h'
const pasteOff = '\u001b[?2004l'

/** Keys typed ahead that are remembered. */
const mostAhead = 10_000

/**
 * The keys of a terminal, one by one. Whoever listens gets them; what is typed while nobody does is kept for the next.
 */
export class Keyboard {
  readonly #input: ReadStream
  readonly #write: (text: string) => void
  readonly #onSuspend: () => void
  #ahead: Key[] = []
  #listener: ((key: Key) => void) | undefined
  #pasted: string[] | undefined
  #onEnd: (() => void) | undefined
  #hasEnded = false

  /** @param onSuspend told of Ctrl-Z, whoever listens */
  constructor(input: ReadStream, write: (text: string) => void, onSuspend: () => void) {
    this.#input = input
    this.#write = write
    this.#onSuspend = onSuspend
  }

  open(): void {
    emitKeypressEvents(this.#input)
    this.#input.setRawMode(true)
    this.#input.on('keypress', this.#onKeypress)
    this.#input.on('end', this.#ended)
    this.#input.on('error', this.#ended)
    this.#input.resume()
    this.#write(pasteOn)
  }

  close(): void {
    this.#write(pasteOff)
    this.#input.off('keypress', this.#onKeypress)
    if (!this.#hasEnded) this.#input.setRawMode(false)
    this.#input.pause()
  }

  /**
   * Gives all keys to `take`, until it is released; with `takesAhead` first those that were typed ahead.
   * @returns what releases it, as `take` is given too
   */
  listen(
    take: (key: Key, release: () => void) => void,
    { onEnd, takesAhead = false }: { onEnd: () => void; takesAhead?: boolean },
  ): () => void {
    const release = (): void => {
      if (this.#listener !== listener) return
      this.#listener = undefined
      this.#onEnd = undefined
    }
    const listener = (key: Key): void => take(key, release)
    this.#listener = listener
    this.#onEnd = onEnd
    if (takesAhead) this.#replay(listener)
    if (this.#hasEnded && this.#listener === listener) onEnd()
    return release
  }

  /** Keeps a key for whoever listens next. */
  keep(key: Key): void {
    if (this.#ahead.length < mostAhead) this.#ahead.push(key)
  }

  #replay(listener: (key: Key) => void): void {
    while (this.#listener === listener) {
      const key = this.#ahead.shift()
      if (key === undefined) return
      listener(key)
    }
  }

  readonly #ended = (): void => {
    this.#hasEnded = true
    this.#onEnd?.()
  }

  readonly #onKeypress = (text: string | undefined, { name, ctrl, meta }: Pressed): void => {
    if (name === 'paste-start') {
      this.#pasted = []
      return
    }
    // Ctrl-C ends a paste whose end never comes: nothing else that is typed would be heard.
    if (name === 'paste-end' || (this.#pasted !== undefined && ctrl === true && name === 'c')) {
      const pasted = (this.#pasted ?? []).join('').replace(/\r\n?/g, '\n')
      this.#pasted = undefined
      this.#give({ name: 'paste', text: pasted, ctrl: false, meta: false })
      if (name === 'paste-end') return
    }
    if (this.#pasted !== undefined) this.#pasted.push(text ?? '')
    else if (ctrl === true && name === 'z') this.#onSuspend()
    else this.#give({ name, text: text ?? '', ctrl: ctrl === true, meta: meta === true })
  }

  #give(key: Key): void {
    if (this.#listener !== undefined) this.#listener(key)
    else this.keep(key)
  }
}
