import { describeEachDatabase } from '../harness/databases.ts'
import { cacheSuite } from './cache.suite.ts'

describeEachDatabase('cache', cacheSuite)
