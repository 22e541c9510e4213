/** Phrases of English that say no more than a shorter one: as many meanings, fewer words. */
export const shorterPhrases: Readonly<Record<string, string>> = {
  'in order to': 'to',
  'so as to': 'to',
  'due to the fact that': 'because',
  'owing to the fact that': 'because',
  'on account of the fact that': 'because',
  'in light of the fact that': 'because',
  'for the reason that': 'because',
  'in spite of the fact that': 'although',
  'despite the fact that': 'although',
  'regardless of the fact that': 'although',
  'in the event that': 'if',
  'on the condition that': 'if',
  'until such time as': 'until',
  'during the time that': 'while',
  'during the course of': 'during',
  'in the course of': 'during',
  'for the duration of': 'during',
  'at this point in time': 'now',
  'at the present time': 'now',
  'at the current time': 'now',
  'at that point in time': 'then',
  'in the near future': 'soon',
  'on a daily basis': 'daily',
  'on a weekly basis': 'weekly',
  'on a monthly basis': 'monthly',
  'on a regular basis': 'regularly',
  'subsequent to': 'after',
  'for the purpose of': 'for',
  'for the purposes of': 'for',
  'with the exception of': 'except',
  'with the purpose of': 'for',
  'in close proximity to': 'near',
  'in the vicinity of': 'near',
  'as a result of': 'because of',
  'as a consequence of': 'because of',
  'on the basis of': 'based on',
  'by means of': 'by',
  'in relation to': 'about',
  'with regard to': 'about',
  'with regards to': 'about',
  'in regard to': 'about',
  'a large number of': 'many',
  'a great number of': 'many',
  'a great deal of': 'much',
  'a wide variety of': 'various',
  'a wide range of': 'various',
  'each and every': 'every',
  'whether or not': 'whether',
  'first and foremost': 'first',
  'has the ability to': 'can',
  'have the ability to': 'can',
  'is able to': 'can',
  'are able to': 'can',
  'take into consideration': 'consider',
  'takes into consideration': 'considers',
  'give consideration to': 'consider',
  'make a decision': 'decide',
  'reach a conclusion': 'conclude',
  'provide assistance to': 'help',
  'that is to say': 'i.e.',
}

/** Verbs with which somebody is asked to do something: "Could you explain" asks for no yes or no. */
export const tasks =
  'add analyze answer calculate check classify compare compose compute convert correct create define describe design develop discuss draft ' +
  'edit elaborate evaluate explain extract fix formulate generate give help identify illustrate implement improve list make outline ' +
  'paraphrase propose provide recommend refactor rephrase rewrite share show solve suggest summarize summarise tell translate write'

/** Words that turn what follows them into its opposite, or nearly. */
export const negations =
  "not|no|never|n't|n’t|cannot|without|nor|neither|none|nothing|nobody|hardly|barely|scarcely|less|isn|aren|don|doesn|didn|won|wouldn|shouldn|couldn|can"

/** Words that only English has so often. */
export const english = new Set(
  (
    'the and of is are was were with this that these those what which how why when where you your it its for from as be been have has ' +
    'would should could can will do does did not by on at or if they their there than then about into between a an i'
  ).split(' '),
)

/** Words that other languages have often, and English has not. */
export const foreign = new Set(
  (
    'der und das ist nicht ein eine einen den dem mit für auf sich auch les des une est pas dans pour que qui avec sur el los las una ' +
    'del por para con como más il che di della non sono per uma não com os het een van niet och att som på'
  ).split(' '),
)
