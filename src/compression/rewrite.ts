import { english, foreign, negations, shorterPhrases, tasks } from './phrases.ts'

/** Rewrites words of English. `isStart`: nothing of their line stands before them. */
export type Rewrite = (words: string, isStart: boolean) => string

const nounFollows = '(?=\\s+(?!(?:the|these|those|them|us|my|your|our|their|his|her|its|which|whom)\\b))'
const phrases = new RegExp(
  `(?<![\\p{L}\\d'’-])(?:${Object.entries(shorterPhrases)
    .map(([phrase, shorter]) => (/^(?:many|much|various)$/.test(shorter) ? phrase + nounFollows : phrase))
    .join('|')})(?![\\p{L}\\d'’-])`,
  'giu',
)

/** What is said in as many words, said in fewer. */
export const shortenPhrases: Rewrite = words =>
  words.replace(phrases, found => {
    const shorter = shorterPhrases[found.toLowerCase()] ?? found
    return startsUpper(found) ? raised(shorter) : shorter
  })

const taskVerb = tasks.replaceAll(' ', '|')
/** Sentences begin here. What stands in front of it is kept. */
const sentence = '(^|[.!?:]\\s+)'
const asking = [
  '(?:please|kindly),?\\s+',
  '(?:can|could|would|will) you (?:please|kindly)\\s+',
  `(?:can|could|would|will) you(?: also)?\\s+(?=(?:${taskVerb})\\b)`,
  `I(?: would|['’]d) like you to(?: please)?\\s+`,
  'I (?:want|need) you to(?: please)?\\s+',
  `I(?: was|['’]m| am) wondering if you (?:can|could|would)(?: please)?\\s+`,
  '(?:note|remember|keep in mind) that,?\\s+',
  'it is (?:important|worth|useful) (?:to note|noting|to remember) that,?\\s+',
  'it should be (?:noted|remembered) that,?\\s+',
  'as (?:you (?:may )?(?:already )?know|a matter of fact|mentioned (?:above|before|earlier)),\\s+',
  'needless to say,\\s+',
  'basically,?\\s+',
]
const openers = new RegExp(`${sentence}(${asking.join('|')})(\\p{L})`, 'giu')
/** Openers may follow one another: "Please, could you kindly". */
const mostOpeners = 3
const thanks =
  /(^|[.!?]\s+)(?:thank you|thanks|many thanks)(?: (?:so|very) much)?(?: in advance)?(?: for your help)?\s*[.!](?=\s|$)/giu
const pleaseAtEnd = /,? please(?=[.!?](?:\s|$))/gu
const intensifier = new RegExp(
  `(?<!(?:${negations})(?:\\s{1,3}\\S{1,20}){0,2}\\s{1,3})(?<=\\s)(?:really|basically|literally|essentially)\\s+(?=[a-z])`,
  'gu',
)

/** What asks politely, announces or emphasises, and says nothing else. */
export const dropFillers: Rewrite = (words, isStart) => {
  let opened = words
  for (let round = 0; round < mostOpeners; round++)
    opened = opened.replace(openers, (...found: unknown[]) => {
      const [all, before, opener, letter, at] = found as [string, string, string, string, number]
      // Before a capital it may be part of a name.
      if ((at === 0 && before === '' && !isStart) || startsUpper(letter)) return all
      return before + (startsUpper(opener) ? letter.toUpperCase() : letter)
    })
  return opened
    .replace(thanks, (found: string, before: string, at: number) =>
      at === 0 && before === '' && !isStart ? found : before.trimEnd(),
    )
    .replace(pleaseAtEnd, '')
    .replace(intensifier, '')
}

/** What an article before it counts, or is no article of. */
const countedAfterA =
  'few|little|lot|bit|couple|third|quarter|half|fifth|sixth|seventh|eighth|ninth|tenth|dozen|hundred|thousand|million|billion|score|day|week|' +
  'month|year|hour|minute|second|night|piece|head|person|pound|kilo|gallon|litre|liter|mile|is|be|and|or|in|of|to|as|for|are|was|has|than|on|at|by'
const comparedAfterThe =
  'more|less|better|worse|fewer|greater|higher|lower|bigger|smaller|longer|shorter|faster|slower|earlier|later|sooner'
const named =
  'option|vitamin|choice|answer|part|section|step|type|group|class|grade|plan|point|team|set|case|variable|letter|node|hepatitis|let|half|Half'
const article = new RegExp(
  `(?<![\\p{L}\\d'’.&/-])(?<!\\b(?:${named}) )` +
    `(?:([Aa]n?) (?!(?:${countedAfterA})\\b)|([Tt]he) (?!(?:${comparedAfterThe})\\b))(\\p{Ll})(?=\\p{L})`,
  'gu',
)
const said =
  /\b(ensure|assume|suppose|believe|think|know|hope|says?|make sure) that(?= (?:you|I|we|they|he|she|it|the|there|this|these|all|each|every|your|our|my|his|her|their)\b)/giu
const relative = /(?<=\p{Ll} )(?:that|which|who) (?:is|are|was|were) (?=\p{Ll}{3,20}(?:ed|ing)\b)/gu

/** Articles, and `that` where a sentence stands without it. */
export const dropArticles: Rewrite = words =>
  words
    .replace(said, '$1')
    .replace(relative, '')
    .replace(article, (_, a: string | undefined, the: string | undefined, letter: string) =>
      startsUpper(a ?? the ?? '') ? letter.toUpperCase() : letter,
    )

/** Whether a line of words is English: the only language whose words are rewritten. */
export function isEnglish(words: string, around: boolean): boolean {
  const found = words.toLowerCase().match(/\p{L}+/gu) ?? []
  const ours = found.filter(word => english.has(word)).length
  const theirs = found.filter(word => foreign.has(word)).length
  if (/[^\P{L}\p{Script=Latin}]/u.test(words)) return false
  if (theirs > 0) return ours > theirs * 3
  return ours > 0 ? ours * 8 >= found.length || around : around && found.length < 8
}

function startsUpper(text: string): boolean {
  const [first = ''] = text
  return first !== first.toLowerCase()
}

function raised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
