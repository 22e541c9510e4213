import { existsSync, readFileSync } from 'node:fs'

export interface Question {
  readonly id: number
  readonly category: string
  /** What the user says, turn by turn. */
  readonly turns: readonly string[]
  /** GPT-4's reference answers, where there are some. */
  readonly answers: readonly string[]
}

interface AnswerLine {
  question_id: number
  choices: { turns: string[] }[]
}

export function readQuestions(folder: string): Question[] {
  const answerFile = `${folder}/mt-bench-gpt4-answers.jsonl`
  const answers = new Map(
    (existsSync(answerFile) ? readLines<AnswerLine>(answerFile) : []).map(line => [
      line.question_id,
      line.choices[0]?.turns ?? [],
    ]),
  )
  return readLines<{ question_id: number; category: string; turns: string[] }>(
    `${folder}/mt-bench-questions.jsonl`,
  ).map(line => ({
    id: line.question_id,
    category: line.category,
    turns: line.turns,
    answers: answers.get(line.question_id) ?? [],
  }))
}

function readLines<T>(file: string): T[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(line => JSON.parse(line) as T)
}
