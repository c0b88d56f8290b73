import type { Sealing } from '../../secrets.ts'
import type { RequestParts } from './open-requests.ts'

const purpose = (request: string): string => `open_requests/${request}/opener`

/** Secret halves of openers that the control plane is itself, under the master key, each bound to its request. */
export const openerSealing = (sealing: Sealing): Pick<RequestParts, 'seal' | 'unseal'> => ({
  seal: (request, secret) => sealing.seal(purpose(request), secret),
  unseal: (request, sealed) => sealing.open(purpose(request), sealed),
})
