import { describeEachDatabase } from '../harness/databases.ts'
import { erasureSuite } from './erasure.suite.ts'
import { brokenOffErasureSuite } from './erasure-broken-off.suite.ts'

describeEachDatabase('erasure', bed => {
  erasureSuite(bed)
  brokenOffErasureSuite(bed)
})
