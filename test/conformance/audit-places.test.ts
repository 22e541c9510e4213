import { describeEachDatabase } from '../harness/databases.ts'
import { auditPlacesSuite } from './audit-places.suite.ts'

describeEachDatabase('places of the audit log', auditPlacesSuite)
