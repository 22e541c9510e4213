import { describeEachDatabase } from '../harness/databases.ts'
import { auditStretchesSuite } from './audit-stretches.suite.ts'

describeEachDatabase('audit log that was held up', auditStretchesSuite)
