/** A new agent with its one-time token: its keys are stored, and it is told what to pin. PROTOCOL.md, "enroll". */
import { createHash } from 'node:crypto'
import { fail } from '#shared/errors.ts'
import { verifySignature } from '#shared/format/keys.ts'
import { type Enroll, helloProof, type VaultOffer } from '#shared/protocol/hello.ts'
import { parseId } from '#shared/ids.ts'
import type { EnrolledAgent } from '../ports.ts'
import { type AgentParts, storableFacts } from './agent-parts.ts'
import { prepareVault } from './prepare-vault.ts'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64url'))

const offers = async (parts: AgentParts, enrolled: EnrolledAgent): Promise<VaultOffer[]> => {
  const organization = parseId<'organization'>(enrolled.organization.id, 'organization')
  const made: VaultOffer[] = []
  for (const pair of enrolled.vaults) {
    const vault = await prepareVault(parts, organization, { server: enrolled.server, ...pair })
    const { id, storage, recipients, fingerprint } = vault
    made.push({ vault: id, storage, recipients, fingerprint })
  }
  return made
}

export type Enrolment = { readonly agent: EnrolledAgent; readonly vaults: VaultOffer[] }

/**
 * `challenge`: the one that this connection was sent. The proof is checked before the token is touched, so that a broken
 * agent does not use it up.
 */
export const enrollAgent = async (
  parts: AgentParts,
  challenge: string,
  hello: Enroll,
): Promise<Enrolment> => {
  const signingKey = bytes(hello.signing_key)
  const proof = helloProof('enroll', challenge, hello.box_key)
  if (!verifySignature(signingKey, proof, bytes(hello.signature)))
    throw fail('ENROLMENT_REFUSED', { problem: 'the signature does not match the signing key' })
  const token = new Uint8Array(createHash('sha256').update(hello.token).digest())
  const facts = storableFacts(hello.facts)
  const newcomer = { signingKey, boxKey: bytes(hello.box_key), facts }
  const agent = await parts.agents.enroll(token, newcomer)
  if ('refused' in agent) throw fail('ENROLMENT_REFUSED', { problem: agent.refused })
  parts.log.info({ server: agent.server }, 'an agent was enrolled')
  return { agent, vaults: await offers(parts, agent) }
}
