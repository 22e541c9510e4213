import { describeEachDatabase } from '../harness/databases.ts'
import { erasureSuite } from './erasure.suite.ts'

describeEachDatabase('erasure', erasureSuite)
