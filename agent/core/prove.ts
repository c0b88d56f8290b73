/** What this agent signs for the holder of a customer's key (PROTOCOL.md, `open.prove`). */
import { toBase64url } from '#shared/format/bytes.ts'
import type { Orders } from '#shared/protocol/orders.ts'
import { openProof } from '#shared/protocol/restore-orders.ts'
import type { Keys } from './greeting.ts'

/** Only what an agent opens packs for: as a downloader or verifier nobody may show it. */
const PURPOSE = 'restore'

/** The signature (base64url), or null where it is not for an agent to ask. */
export const proofOf = (
  order: Orders['open.prove'],
  { signer, boxPublic }: Pick<Keys, 'signer' | 'boxPublic'>,
): string | null =>
  order.purpose === PURPOSE ? toBase64url(signer.sign(openProof(order, boxPublic))) : null
