import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootDirectory } from './peers.ts'
import { generatedTexts, loadTexts } from './texts.ts'

export interface Corpus {
  readonly name: string
  readonly texts: readonly string[]
}

/**
 * Prompts to compress: MT-bench's questions and reference answers when `../shared/data` is beside the project, else generated
 * texts; and prompts as retrieval makes them, of pieces of the same texts that overlap by half.
 */
export function compressionCorpora(): { corpora: readonly Corpus[]; source: 'mt-bench' | 'generated' } {
  const { texts, source } = loadTexts()
  const answers = loadAnswers() ?? generatedTexts()
  return {
    source,
    corpora: [
      { name: 'questions', texts },
      { name: 'answers', texts: answers },
      { name: 'excerpts', texts: excerpts(answers) },
    ],
  }
}

function loadAnswers(): string[] | undefined {
  const file = join(rootDirectory, '..', 'shared', 'data', 'mt-bench-gpt4-answers.jsonl')
  if (!existsSync(file)) return undefined
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line.trim() !== '')
    .flatMap(line =>
      (JSON.parse(line) as { choices: { turns: string[] }[] }).choices.flatMap(one => one.turns),
    )
}

const excerptWords = 120

/** Prompts of the pieces of some long text, each of which begins in the middle of the one before. */
function excerpts(texts: readonly string[]): string[] {
  const words = texts.join('\n\n').match(/\S+\s*/g) ?? []
  const prompts: string[] = []
  for (let from = 0; from + excerptWords * 3 <= words.length; from += excerptWords * 3) {
    const pieces = [0, 1, 2, 3].map(number => {
      const start = from + (number * excerptWords) / 2
      return `Excerpt ${number + 1}: ${words.slice(start, start + excerptWords).join('')}`
    })
    prompts.push(`Answer by these excerpts alone.\n\n${pieces.join('\n\n')}`)
  }
  return prompts
}
