import type { Bytes } from '#shared/format/tree-order.ts'
import type { Policy } from '../core/policy.ts'

export type Policies = {
  /** Read anew. `POLICY_UNUSABLE` where there is none, it is not one, or others could have written it. */
  read(): Policy
  /** The same place without links on the way to it; what is not there yet counts as it is named. */
  real(path: Bytes): Bytes
}
