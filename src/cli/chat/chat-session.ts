import type { Answer } from '../../chat/backend.ts'
import type { Chat } from '../../chat/chat.ts'
import { SteleError } from '../../errors.ts'
import type { ChatScreen } from './screen.ts'
import { told } from './told.ts'

/** A chat and where it is held. */
export class ChatSession {
  readonly chat: Chat
  readonly screen: ChatScreen
  /** The models that the next question goes to, when it goes to several. */
  compared: readonly string[] | undefined

  constructor(chat: Chat, screen: ChatScreen) {
    this.chat = chat
    this.screen = screen
  }

  async ask(text: string): Promise<void> {
    const models = this.compared
    this.compared = undefined
    if (models !== undefined) await this.#compare(text, models)
    else await this.#askOne(text)
  }

  /**
   * What a command has to wait for. Ctrl-C gives it up; what comes of it then is nobody's any more.
   * @throws SteleError client_closed_request when it was given up
   */
  wait<R>(work: Promise<R>): Promise<R> {
    return this.screen.interruptible(
      signal =>
        new Promise((resolve, reject) => {
          const giveUp = (): void => reject(new SteleError('client_closed_request'))
          if (signal.aborted) giveUp()
          signal.addEventListener('abort', giveUp, { once: true })
          work.then(resolve, reject)
        }),
    )
  }

  /** Tells what went wrong with a command; that the person gave it up is no failure. */
  async fail(error: unknown): Promise<void> {
    if (error instanceof SteleError && error.code === 'client_closed_request')
      await this.screen.show([[{ text: 'Given up.', style: { dim: true } }], []])
    else await this.screen.fail(told(error))
  }

  async #askOne(text: string): Promise<void> {
    const { chat, screen } = this
    if (chat.model === '') {
      await screen.fail(new SteleError('usage', { reason: 'No model is named. Name one: /model NAME' }))
      return
    }
    const view = screen.reply(chat.model)
    let answer: Answer | undefined
    try {
      answer = await screen.interruptible(signal => chat.ask(text, signal, said => view.add(said)))
    } catch (error) {
      await view.end(undefined)
      await screen.fail(told(error))
    }
    if (answer === undefined) return
    await view.end(answer)
    if (chat.hasForked)
      screen.notify('This conversation went on elsewhere meanwhile; here it goes on as a fork of its own.')
  }

  /** Shows the replies of several models and lets one be chosen; settled is all of it then, whatever is chosen. */
  async #compare(text: string, models: readonly string[]): Promise<void> {
    const { chat, screen } = this
    const view = screen.comparison(models)
    try {
      const { answers, choose } = await screen.interruptible(signal =>
        chat.compare(text, models, signal, (index, said) => view.add(index, said)),
      )
      let chosen: number | undefined
      try {
        await view.end(answers)
        chosen = await this.#choice(answers)
      } finally {
        await choose(chosen)
      }
      const model = chosen === undefined ? undefined : models[chosen]
      const words = model === undefined ? 'None of them was taken.' : `The reply of ${model} was taken.`
      await screen.show([[{ text: words, style: { dim: true } }], []])
    } catch (error) {
      await view.end(undefined)
      await screen.fail(told(error))
    }
  }

  async #choice(answers: readonly Answer[]): Promise<number | undefined> {
    const usable = answers.flatMap(({ message }, index) => (message === undefined ? [] : [index + 1]))
    if (usable.length === 0) return undefined
    for (;;) {
      const typed = await this.screen.choose(`Take ${usable.join(', ')}? Enter takes none:`)
      if (typed === undefined || typed === '') return undefined
      const number = Number(typed)
      if (usable.includes(number)) return number - 1
    }
  }
}
