/** An agent signs that it asks: so that the holder of the key sees more than the control plane's word. PROTOCOL.md, "open.prove". */
import { parseBase64url, toBase64url } from '#shared/format/bytes.ts'
import { verifySignature } from '#shared/format/keys.ts'
import { isId } from '#shared/ids.ts'
import type { Orders } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import { openProof } from '#shared/protocol/restore-orders.ts'
import type { Link } from '../../ports.ts'
import type { Proof } from '../../ports/open-requests.ts'
import { type AgentParts, freshId } from '../agent-parts.ts'

const AT_ONCE = 100

type Asked = Pick<
  Orders['open.prove'],
  'request' | 'purpose' | 'backup' | 'packs_sha256' | 'expires_at'
>

const askedFor = (proof: Omit<Proof, 'signingKey' | 'openerKey'>): Asked => ({
  request: proof.id,
  purpose: proof.purpose,
  backup: proof.backup,
  packs_sha256: proof.packsSha256,
  expires_at: proof.expiresAt,
})

/** Asks the agents that are connected here, each once a connection. */
export const askForProofs = async (parts: AgentParts): Promise<void> => {
  for (const { link, ...proof } of await parts.openRequests.unsigned(parts.links.all(), AT_ONCE))
    link.send({ type: 'open.prove', id: freshId(parts), ...askedFor(proof) })
}

/** A signature that does not hold is no reason to trust the rest less: the request stays unsigned, and people see that. */
export const takeProof = async (
  parts: AgentParts,
  link: Link,
  report: Reports['open.proof'],
): Promise<null> => {
  const { request } = report
  const proof = isId(request) ? await parts.openRequests.toProve(request, link.server) : null
  const signature = parseBase64url(report.signature, 64)
  if (proof === null || signature === null) return null
  const message = openProof(askedFor(proof), toBase64url(proof.openerKey))
  if (verifySignature(proof.signingKey, message, signature))
    await parts.openRequests.sign(proof.id, signature)
  else parts.log.warn({ request, server: link.server }, 'an agent signed something else')
  return null
}
