import { describeEachDatabase } from '../harness/databases.ts'
import { auditMutationsSuite } from './audit-mutations.suite.ts'
import { auditProofsSuite } from './audit-proofs.suite.ts'

describeEachDatabase('proofs of the audit log', auditProofsSuite)
describeEachDatabase('changes of the audit log', auditMutationsSuite)
