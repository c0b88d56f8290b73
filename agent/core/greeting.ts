/** What the agent says of itself when it greets (PROTOCOL.md, "Greeting"). */
import { parseBase64url, toBase64url } from '#shared/format/bytes.ts'
import { boxPublicKey, makeSigningKey, type SigningKey } from '#shared/format/keys.ts'
import { fail } from '#shared/errors.ts'
import {
  type Challenge,
  type Connect,
  type Enroll,
  type Facts,
  helloProof,
} from '#shared/protocol/hello.ts'
import { PROTOCOL } from '#shared/protocol/version.ts'
import type { Identity } from './state.ts'

export type Keys = {
  readonly signer: SigningKey
  /** X25519: what is sealed to this agent opens with it. */
  readonly boxSecret: Uint8Array
  readonly boxPublic: string
}

const seedOf = (text: string): Uint8Array => {
  const seed = parseBase64url(text, 32)
  if (seed === null)
    throw fail('DAMAGED', { what: 'The file agent.json', problem: 'a seed is none' })
  return seed
}

export const keysOf = (identity: Identity): Keys => {
  const boxSecret = seedOf(identity.box_seed)
  return {
    signer: makeSigningKey(seedOf(identity.signing_seed)),
    boxSecret,
    boxPublic: toBase64url(boxPublicKey(boxSecret)),
  }
}

type About = { readonly id: string; readonly facts: Facts; readonly challenge: Challenge }

const sign = (keys: Keys, kind: 'enroll' | 'connect', challenge: string, subject: string): string =>
  toBase64url(keys.signer.sign(helloProof(kind, challenge, subject)))

/** A new agent: the proof is bound to its box key. */
export const enrollment = (keys: Keys, token: string, about: About): Enroll => ({
  type: 'enroll',
  id: about.id,
  protocol: PROTOCOL,
  token,
  facts: about.facts,
  signing_key: toBase64url(keys.signer.publicKey),
  box_key: keys.boxPublic,
  signature: sign(keys, 'enroll', about.challenge.challenge, keys.boxPublic),
})

/** An enrolled one: the proof is bound to the server that it says it is. `joins` is stored before it is sent. */
export const connection = (
  keys: Keys,
  who: { server: string; joins: number },
  about: About,
): Connect => ({
  type: 'connect',
  id: about.id,
  protocol: PROTOCOL,
  server: who.server,
  joins: who.joins,
  facts: about.facts,
  signature: sign(keys, 'connect', about.challenge.challenge, who.server),
})
