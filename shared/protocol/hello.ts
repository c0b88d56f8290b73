/** The first frame each way: parsed tolerantly (unknown fields pass), refused precisely. PROTOCOL.md, "Greeting". */
import { type Static, Type } from '../schema.ts'
import { base64url, envelope, id, list, problem, recipients, text, whole } from './fields.ts'

const versions = Type.Object({ current: whole, oldest: whole })

/** Control plane → agent, at once after the connection opens. */
export const Challenge = Type.Object({
  type: Type.Literal('challenge'),
  ...envelope,
  protocol: versions,
  challenge: base64url(32),
  time: whole,
})

export const Facts = Type.Object({
  hostname: text(255),
  os: text(255),
  kernel: text(255),
  arch: text(64),
  cpus: whole,
  memory_bytes: whole,
  agent_version: text(64),
})

const keys = { signing_key: base64url(32), box_key: base64url(32), signature: base64url(64) }

/** Agent → control plane: a new agent with its one-time token. */
export const Enroll = Type.Object({
  type: Type.Literal('enroll'),
  ...envelope,
  protocol: versions,
  token: text(100),
  facts: Facts,
  ...keys,
})

/** Agent → control plane: an enrolled agent. `joins` counts its connections: two agents with one key show in it. */
export const Connect = Type.Object({
  type: Type.Literal('connect'),
  ...envelope,
  protocol: versions,
  server: id,
  joins: whole,
  facts: Facts,
  signature: base64url(64),
})

export const VaultOffer = Type.Object({
  vault: id,
  storage: text(200),
  recipients,
  /** SHA-256 of the canonical text of `recipients` (shared/format/keys.ts): what the person confirms. */
  fingerprint: base64url(32),
})

/** Control plane → agent: the connection is open. Enrolment also gets what is to be pinned. */
export const Welcome = Type.Object({
  type: Type.Literal('welcome'),
  ...envelope,
  version: whole,
  server: id,
  /** For people on that machine. */
  server_name: Type.Optional(text(200)),
  catalog_epoch: whole,
  heartbeat_seconds: whole,
  joins: whole,
  organization: Type.Optional(Type.Object({ id, name: text(200), signing_key: base64url(32) })),
  vaults: Type.Optional(list(VaultOffer, 100)),
})

/** Control plane → agent: why not; the connection closes after it. */
export const Refused = Type.Object({ type: Type.Literal('refused'), ...envelope, problem })

export type Challenge = Static<typeof Challenge>
export type Enroll = Static<typeof Enroll>
export type Connect = Static<typeof Connect>
export type Welcome = Static<typeof Welcome>
export type Refused = Static<typeof Refused>
export type VaultOffer = Static<typeof VaultOffer>
export type Facts = Static<typeof Facts>
export type Recipients = Static<typeof recipients>

export const GREETINGS = { challenge: Challenge, welcome: Welcome, refused: Refused } as const
export const INTRODUCTIONS = { enroll: Enroll, connect: Connect } as const

/**
 * What an agent signs to prove that it holds its key: bound to this challenge, to the kind of greeting and to the
 * box key, so that neither can be moved to another connection. PROTOCOL.md, "Greeting".
 */
export const helloProof = (
  kind: 'enroll' | 'connect',
  challenge: string,
  subject: string,
): Uint8Array => Buffer.from(`holdfast/hello/v1\0${kind}\0${challenge}\0${subject}`, 'utf8')
