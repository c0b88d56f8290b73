/** Lets an agent in, or says why not. PROTOCOL.md, "Greeting". */
import { fail } from '#shared/errors.ts'
import { verifySignature } from '#shared/format/keys.ts'
import { type OrgId, parseId, type ServerId } from '#shared/ids.ts'
import { type Connect, type Enroll, helloProof, type Welcome } from '#shared/protocol/hello.ts'
import { SECOND } from '#shared/units.ts'
import { type AgentParts, freshId, storableFacts } from './agent-parts.ts'
import { enrollAgent } from './enroll-agent.ts'

export type Admitted = {
  readonly server: ServerId
  readonly organization: OrgId
  readonly joins: number
  readonly welcome: Welcome
}

type Hello = {
  readonly message: Enroll | Connect
  /** As agreed by the session. */
  readonly version: number
  /** The challenge that this connection was sent. */
  readonly challenge: string
}

const welcomeOf = (
  parts: AgentParts,
  { message, version }: Hello,
  rest: Omit<Welcome, 'type' | 'id' | 're' | 'version' | 'heartbeat_seconds'>,
): Welcome => ({
  type: 'welcome',
  id: freshId(parts),
  re: message.id,
  version,
  heartbeat_seconds: parts.timing.heartbeat / SECOND,
  ...rest,
})

const admitNew = async (parts: AgentParts, hello: Hello, message: Enroll): Promise<Admitted> => {
  const { agent, vaults } = await enrollAgent(parts, hello.challenge, message)
  const { server, joins, catalogEpoch, organization } = agent
  return {
    server,
    organization: parseId(organization.id, 'organization'),
    joins,
    welcome: welcomeOf(parts, hello, {
      server,
      joins,
      catalog_epoch: catalogEpoch,
      organization,
      vaults,
    }),
  }
}

/** Who is unknown, revoked or cannot sign gets one answer: it does not tell which servers there are. */
const admitKnown = async (parts: AgentParts, hello: Hello, message: Connect): Promise<Admitted> => {
  const server = parseId<'server'>(message.server, 'server')
  const known = await parts.agents.find(server)
  const proof = helloProof('connect', hello.challenge, server)
  const signature = new Uint8Array(Buffer.from(message.signature, 'base64url'))
  if (known === null || !verifySignature(known.signingKey, proof, signature))
    throw fail('AGENT_UNKNOWN', { server })
  const { joined, known: highest } = await parts.agents.join(
    server,
    message.joins,
    storableFacts(message.facts),
  )
  if (!joined) {
    parts.log.warn({ server, joins: message.joins, known: highest }, 'an agent was cloned')
    throw fail('AGENT_CLONED', { server, joins: message.joins, known: highest })
  }
  const { organization, name: server_name, catalogEpoch: catalog_epoch } = known
  const { joins } = message
  const welcome = welcomeOf(parts, hello, { server, server_name, joins, catalog_epoch })
  return { server, organization, joins, welcome }
}

/** Other replicas hear of the new connection and close theirs. Throws the refusal. */
export const admit = async (parts: AgentParts, hello: Hello): Promise<Admitted> => {
  const { message } = hello
  const admitted =
    message.type === 'enroll'
      ? await admitNew(parts, hello, message)
      : await admitKnown(parts, hello, message)
  await parts.wakeups.superseded(admitted.server, admitted.joins)
  return admitted
}
