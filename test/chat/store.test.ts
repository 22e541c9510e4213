import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { comparisonSuite } from './comparison.suite.ts'
import { chatOnStoreSuite } from './store.suite.ts'

describeEachDatabaseAndMemory('chat', bed => {
  chatOnStoreSuite(bed)
  comparisonSuite(bed)
})
