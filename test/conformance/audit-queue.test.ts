import { describeEachDatabase } from '../harness/databases.ts'
import { auditQueueSuite } from './audit-queue.suite.ts'

describeEachDatabase('what waits for the audit log', auditQueueSuite)
