/** Enrolment: keys are made here, a one-time token lets them in, and a person confirms who may read. */
import { toBase64url } from '#shared/format/bytes.ts'
import { parseFingerprint, recipientsFingerprint, showFingerprint } from '#shared/format/keys.ts'
import { fail } from '#shared/errors.ts'
import type { Challenge, Enroll, Facts, VaultOffer, Welcome } from '#shared/protocol/hello.ts'
import { makeId } from '#shared/ids.ts'
import { enrollment, keysOf } from '../core/greeting.ts'
import { withoutCopy } from './copied.ts'
import { readIdentity, withPins, writeIdentity, type Identity } from '../core/state.ts'
import type { StateFolder, World } from '../ports.ts'

export const IDENTITY = 'agent.json'

export const loadIdentity = (state: StateFolder): Identity | null => {
  const bytes = state.read(IDENTITY)
  return bytes === null ? null : readIdentity(bytes)
}

export const saveIdentity = (state: StateFolder, identity: Identity): void =>
  state.replace(IDENTITY, writeIdentity(identity))

export type EnrollParts = {
  readonly state: StateFolder
  readonly world: World
  readonly facts: Facts
  /** One connection, greeted with what `introduce` says; resolves with the welcome. */
  greet(introduce: (challenge: Challenge) => Enroll): Promise<Welcome>
  /** Shows text to the person. */
  show(text: string): void
  /** Asks a person; null where there is none to ask. */
  readonly ask: ((question: string) => Promise<boolean>) | null
}

export type EnrollWish = {
  readonly url: string
  readonly token: string
  /** Fingerprints confirmed on the command line, as the person wrote them. */
  readonly confirmed: readonly string[]
}

/** The same keys as before where there are some: the vaults of this server know them. */
const prepare = ({ state, world }: EnrollParts, url: string): Identity => {
  const there = loadIdentity(state)
  const identity: Identity =
    there === null
      ? {
          version: 1,
          url,
          signing_seed: toBase64url(world.random(32)),
          box_seed: toBase64url(world.random(32)),
          server: null,
          organization: null,
          joins: 0,
          catalog_epoch: 0,
          pinned: [],
        }
      : { ...there, url }
  // On disk before the control plane hears of them.
  saveIdentity(state, identity)
  return identity
}

const describe = (offer: VaultOffer, fingerprint: string): string =>
  [
    `Backups of this server to the storage "${offer.storage}" can be read by:`,
    ...offer.recipients.content.map((one) => `  ${one}  (content: the encryption key)`),
    ...offer.recipients.recovery.map((one) => `  ${one}  (recovery: the kit of the organization)`),
    ...offer.recipients.list.map((one) => `  ${one}  (names and sizes only: the control plane)`),
    `  fingerprint ${showFingerprint(fingerprint)}`,
    '',
  ].join('\n')

/** The fingerprint counts as computed here; one that the control plane says must not differ. */
const fingerprintOf = (offer: VaultOffer): string => {
  const fingerprint = recipientsFingerprint(offer.recipients)
  if (fingerprint !== offer.fingerprint)
    throw fail('PROTOCOL_VIOLATION', { problem: 'a fingerprint is not that of its recipients' })
  return fingerprint
}

const agree = async (
  parts: EnrollParts,
  wish: EnrollWish,
  fingerprints: readonly string[],
): Promise<boolean> => {
  if (wish.confirmed.length > 0) {
    const confirmed = new Set(wish.confirmed.map(parseFingerprint))
    return fingerprints.every((fingerprint) => confirmed.has(fingerprint))
  }
  return (
    (await parts.ask?.('Do these fingerprints match those that the control plane shows?')) ?? false
  )
}

/**
 * Resolves with the identity as it is now on disk. `RECIPIENTS_NOT_PINNED` when the person did not confirm: the agent is
 * enrolled then, and refuses every backup.
 */
export const enroll = async (parts: EnrollParts, wish: EnrollWish): Promise<Identity> => {
  if (wish.confirmed.length === 0 && parts.ask === null)
    throw fail('WRONG_USE', {
      problem:
        'Without a terminal, give --confirm with the fingerprint that the control plane shows',
    })
  wish.confirmed.forEach(parseFingerprint)
  const identity = prepare(parts, wish.url)
  const keys = keysOf(identity)
  const { world, facts, state } = parts
  const welcome = await parts.greet((challenge) =>
    enrollment(keys, wish.token, {
      id: makeId(world.clock.now(), world.random(10)),
      facts,
      challenge,
    }),
  )
  const organization = welcome.organization
  if (organization === undefined)
    throw fail('PROTOCOL_VIOLATION', { problem: 'the welcome names no organization' })
  const { server, joins, catalog_epoch } = welcome
  const enrolled: Identity = {
    ...withoutCopy(identity),
    server,
    joins,
    catalog_epoch,
    organization,
  }
  saveIdentity(state, enrolled)
  const offers = (welcome.vaults ?? []).map((offer) => ({
    offer,
    fingerprint: fingerprintOf(offer),
  }))
  for (const { offer, fingerprint } of offers) parts.show(describe(offer, fingerprint))
  const fingerprints = offers.map(({ fingerprint }) => fingerprint)
  if (offers.length > 0 && !(await agree(parts, wish, fingerprints)))
    throw fail('RECIPIENTS_NOT_PINNED', {
      fingerprint: fingerprints.map(showFingerprint).join(', '),
    })
  const pins = offers.map(({ offer, fingerprint }) => ({
    vault: offer.vault,
    fingerprint,
    recipients: offer.recipients,
  }))
  const pinned = withPins(enrolled, pins)
  saveIdentity(state, pinned)
  return pinned
}
