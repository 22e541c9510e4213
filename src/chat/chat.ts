import { SteleError } from '../errors.ts'
import {
  type Answer,
  type ChatBackend,
  type Comparison,
  noUsage,
  nowhere,
  type OpenedSession,
  type Question,
  type Thread,
  type UsageSums,
} from './backend.ts'
import { type ChatMessage, chatMessage } from './message.ts'

export interface ChatOptions {
  readonly backend: ChatBackend
  readonly model: string
  readonly system?: string | undefined
}

/** One person's chat: what is sent with the next question, where it is recorded, and who is asked. */
export class Chat {
  readonly backend: ChatBackend
  model: string
  #system: string | undefined
  #thread: Thread = nowhere
  /** What is sent, without the system prompt. */
  #context: ChatMessage[] = []
  /** What was said before the context was cleared. */
  #earlier: ChatMessage[] = []
  /** Set when what is sent next does not go on where the record ends. */
  #startsOver: { readonly keepsEarlier: boolean } | undefined
  #usage = noUsage
  #hasForked = false

  constructor({ backend, model, system }: ChatOptions) {
    this.backend = backend
    this.model = model
    this.#system = system
  }

  get thread(): Thread {
    return this.#thread
  }

  /** Whether the last question went to another conversation than it was asked in, which had gone on elsewhere. */
  get hasForked(): boolean {
    return this.#hasForked
  }

  get system(): string | undefined {
    return this.#system
  }

  /** Everything that was said in this conversation, oldest first. */
  get transcript(): readonly ChatMessage[] {
    return [...this.#earlier, ...this.#systemMessages(), ...this.#context]
  }

  /** How many messages go with the next question. */
  get contextLength(): number {
    return this.#context.length
  }

  /** What the calls of this conversation came to; where nobody else knows, those that were made here. */
  async stats(): Promise<UsageSums> {
    return (await this.backend.totals(this.#thread)) ?? this.#usage
  }

  /** Another system prompt; undefined for none. What was said so far is sent with it. */
  setSystem(text: string | undefined): void {
    if (text === this.#system) return
    this.#system = text
    if (this.#thread.conversationId !== undefined && this.#context.length > 0)
      this.#startsOver ??= { keepsEarlier: false }
  }

  /** The next question begins a conversation of its own. */
  startAnew(): void {
    this.#thread = nowhere
    this.#context = []
    this.#earlier = []
    this.#startsOver = undefined
    this.#usage = noUsage
  }

  /** Clears what is sent. The conversation stays and goes on. */
  clear(): void {
    if (this.#context.length === 0) return
    this.#earlier = [...this.transcript]
    this.#context = []
    this.#startsOver = { keepsEarlier: true }
  }

  /** Goes on with a conversation. @throws SteleError conversation_not_found */
  async resume(id: string): Promise<OpenedSession> {
    const opened = await this.backend.open(id)
    this.goOn(opened)
    return opened
  }

  /** Goes on with a conversation that was opened. */
  goOn(opened: OpenedSession): void {
    this.startAnew()
    const [first] = opened.context
    const hasSystem = first?.role === 'system' && this.#isPlain(first)
    this.#system = hasSystem ? first.text : undefined
    this.#context = opened.context.slice(hasSystem ? 1 : 0)
    this.#earlier = [...opened.earlier]
    this.#thread = opened.thread
    if (opened.model !== undefined) this.model = opened.model
  }

  /**
   * Asks the model and records both. The same question again, when it has no answer yet, is the same question.
   * @throws SteleError when it cannot be recorded; then it was not asked, or its answer is not on record
   */
  async ask(text: string, signal: AbortSignal, onText: (text: string) => void): Promise<Answer> {
    const { question, asked } = await this.#question(text, [this.model], signal)
    const answer = await this.backend.ask(question, this.model, onText)
    this.#take(asked, answer)
    const { conversationId, sessionId } = this.#thread
    this.#hasForked = conversationId !== undefined && answer.thread.sessionId !== sessionId
    this.#thread = answer.thread
    this.#count([answer])
    return answer
  }

  /** Asks several models the same. The reply that is chosen goes into the conversation. */
  async compare(
    text: string,
    models: readonly string[],
    signal: AbortSignal,
    onText: (index: number, text: string) => void,
  ): Promise<Comparison> {
    const { question, asked } = await this.#question(text, models, signal)
    const { answers, choose } = await this.backend.compare(question, models, onText)
    return {
      answers,
      choose: async index => {
        this.#thread = await choose(index)
        this.#take(asked, index === undefined ? undefined : answers[index])
        this.#count(answers)
        return this.#thread
      },
    }
  }

  async #question(
    text: string,
    models: readonly string[],
    signal: AbortSignal,
  ): Promise<{ question: Question; asked: readonly ChatMessage[] }> {
    if (text.trim() === '') throw new SteleError('usage', { reason: 'There is nothing to ask.' })
    this.backend.requireModels(models)
    const last = this.#context.at(-1)
    const isAgain = last?.role === 'user' && last.text === text
    const asked = isAgain ? this.#context : [...this.#context, chatMessage('user', text)]
    const isNew = this.#thread.conversationId === undefined
    // One whose place was not known yet is found by what was said in it.
    if (isNew && this.#context.length === 0) this.#thread = await this.backend.start()
    else if (!isNew && this.#startsOver !== undefined)
      this.#thread = await this.backend.startOver(this.#thread, this.#startsOver)
    this.#startsOver = undefined
    return {
      question: { thread: this.#thread, messages: [...this.#systemMessages(), ...asked], signal },
      asked,
    }
  }

  #take(asked: readonly ChatMessage[], answer: Answer | undefined): void {
    const { message } = answer ?? {}
    this.#context = message === undefined ? [...asked] : [...asked, message]
  }

  #count(answers: readonly Answer[]): void {
    for (const { status, usage } of answers) {
      const { calls, errors, inputTokens, outputTokens, costNanousd, unpricedCalls } = this.#usage
      this.#usage = {
        calls: calls + 1,
        errors: errors + (status === 'failed' ? 1 : 0),
        inputTokens: inputTokens + (usage.inputTokens ?? 0),
        outputTokens: outputTokens + (usage.outputTokens ?? 0),
        costNanousd,
        unpricedCalls: unpricedCalls + 1,
      }
    }
  }

  #systemMessages(): readonly ChatMessage[] {
    return this.#system === undefined ? [] : [chatMessage('system', this.#system)]
  }

  /** Whether it would be sent again as it was. */
  #isPlain(message: ChatMessage): boolean {
    return message.raw === chatMessage(message.role, message.text).raw
  }
}
