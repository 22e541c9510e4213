import { describeEachDatabase } from '../harness/databases.ts'
import { auditActsSuite } from './audit-acts.suite.ts'
import { auditListsSuite } from './audit-lists.suite.ts'
import { auditLoggerSuite } from './audit-logger.suite.ts'
import { auditPlansSuite } from './audit-plans.suite.ts'

describeEachDatabase('what applications put on record', auditLoggerSuite)
describeEachDatabase('reading what is on record', auditListsSuite)
describeEachDatabase('questions about what is on record', auditPlansSuite)
describeEachDatabase('what is done beside calls', auditActsSuite)
