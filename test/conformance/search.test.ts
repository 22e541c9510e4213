import { describeEachDatabase } from '../harness/databases.ts'
import { searchSuite } from './search.suite.ts'
import { searchBlindSuite } from './search-blind.suite.ts'
import { searchIndexSuite } from './search-index.suite.ts'

describeEachDatabase('search', searchSuite)
describeEachDatabase('the search index', searchIndexSuite)
describeEachDatabase('what the search index tells', searchBlindSuite)
