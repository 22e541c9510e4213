import { describeEachDatabase } from '../harness/databases.ts'
import { cachedChatSuite } from './caching.suite.ts'
import { comparisonSuite } from './comparison.suite.ts'
import { maskedChatSuite } from './masking.suite.ts'
import { chatOnStoreSuite } from './store.suite.ts'

describeEachDatabase('chat', bed => {
  chatOnStoreSuite(bed)
  comparisonSuite(bed)
  maskedChatSuite(bed)
  cachedChatSuite(bed)
})
