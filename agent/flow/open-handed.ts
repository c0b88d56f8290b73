/** Restores, verifies or opens for somebody else what the control plane handed out; believes only what is signed. */
import { fail } from '#shared/errors.ts'
import { type Identity, parseIdentityFile } from '#shared/format/keys.ts'
import { signerKey } from '#shared/format/layout.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { Random } from '#shared/world.ts'
import { type Handed, handedBytes } from '../core/handed.ts'
import { handedRing, identityRing, type Keyring } from '../core/keyring.ts'
import type { Verdict } from '../core/open-events.ts'
import { noCounts } from '../core/restore-events.ts'
import type { HandedPlace, OpenWorld } from '../core/restore-ports.ts'
import { type Approval, approve } from './approve.ts'
import { idKeyOf, type Listener, restoreInto, tellVault, treeOf, verdictOf } from './open.ts'
import { openVault } from './read-vault.ts'
import { verifyContent } from './verify-content.ts'

const pathOf = (raw: string): Bytes => Buffer.from(handedBytes(raw)).toString('latin1')

/** The names of signers carry no meaning but their number: the random part of these is none. */
const placesOf = ({ vault, signers, objects }: Handed): readonly HandedPlace[] => [
  ...signers.map((text, no) => ({
    key: signerKey(vault, no, '0'.repeat(32)),
    at: { bytes: handedBytes(text) },
  })),
  ...objects.map(({ key, url, size }) => ({ key, at: { url, size: size ?? null } })),
]

const ringOf = (handed: Handed, identities: readonly Identity[]): Keyring => {
  const own = identityRing(identities)
  const { opener_secret: secret, opening, sealed_id_key: sealedIdKey } = handed
  if (secret === undefined || opening === undefined) return own
  const keys = handed.objects.flatMap(({ key, no, sealed_file_key: sealed }) =>
    sealed === undefined
      ? []
      : ([[key, { what: no ?? ('record' as const), sealed: handedBytes(sealed) }]] as const),
  )
  return handedRing(
    { secret: handedBytes(secret), opening },
    {
      keys: new Map(keys),
      sealedIdKey: sealedIdKey === undefined ? null : handedBytes(sealedIdKey),
    },
    own,
  )
}

export type HandedWorld = OpenWorld & { readonly random: Random }

export type HandedResult = { readonly verdict: Verdict; readonly approval: Approval | null }

/** Throws where nothing could be done at all. */
export const openHanded = async (
  handed: Handed,
  world: HandedWorld,
  listener: Listener,
): Promise<HandedResult> => {
  const texts = await Promise.all(handed.identities.map(async (file) => world.readText(file)))
  const identities = texts.flatMap(parseIdentityFile)
  const opened = await openVault({
    source: world.handed(handed.vault, placesOf(handed)),
    vault: handed.vault,
    keys: ringOf(handed, identities),
    ...(handed.genesis === undefined ? {} : { genesis: handed.genesis }),
  })
  tellVault(listener.tell, opened)
  const backup = opened.backups.find(({ body }) => body.backup === handed.backup)
  if (backup === undefined) {
    const [problem] = opened.problems
    throw problem?.failure ?? fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: handed.backup })
  }
  listener.tell({ at: 'chosen', body: backup.body })
  const tree = treeOf(opened, backup)
  const { action } = handed
  if (action.do === 'approve') {
    const asked = { action, identities, idKey: idKeyOf(opened), paths: action.paths.map(pathOf) }
    return { verdict: 'done', approval: await approve(asked, { tree, body: backup.body }, world) }
  }
  const paths = action.paths.map(pathOf)
  const extractors = world.extractors(idKeyOf(opened), true)
  if (action.do === 'restore') {
    const into = { folder: action.target, paths }
    const verdict = await restoreInto({ ...listener, world }, { tree, extractors }, into)
    return { verdict, approval: null }
  }
  const counts = noCounts()
  const { tell, taken } = listener
  try {
    tell({ at: 'restoring', counts })
    await verifyContent({ tree, extractors, paths, tell, taken, counts }, listener.stop)
    tell({ at: 'verified', counts })
    // Who verifies asks for damage: that other files are good is no part of success.
    const verdict = counts.damaged + counts.lost > 0 ? 'damaged' : verdictOf(counts)
    return { verdict, approval: null }
  } finally {
    await extractors.close()
  }
}
