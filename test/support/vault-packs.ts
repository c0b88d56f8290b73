/** Packs as a test writes them: frames into packs, packs into age objects, and a book of what lies where. */
import { createHash } from 'node:crypto'
import { encodePreamble, payloadKey, sealPayload } from '#shared/format/age.ts'
import { toBase64url, toHex } from '#shared/format/bytes.ts'
import type { Recipient } from '#shared/format/keys.ts'
import { packKey, packNo } from '#shared/format/layout.ts'
import type { FullLocator, Locator, PackNo } from '#shared/format/locator.ts'
import type { Piece } from '#shared/format/pack.ts'
import type { PackRow } from '#shared/format/pack-table.ts'
import type { Random } from '#shared/world.ts'
import { createMemoryPack } from './memory-pack.ts'

export type FramePlace = { readonly offset: number; readonly length: number }

/** What the writer knows of an object: nothing here is read back. */
export type PlacedObject = PackRow & {
  readonly kind: 'pack' | 'tree'
  readonly preamble: number
  readonly frames: readonly FramePlace[]
}

export type PackStore = {
  readonly objects: Map<string, Uint8Array>
  readonly placed: Map<PackNo, PlacedObject>
  /** Appends a frame that holds `pieces`, and says where each is. */
  add(kind: 'pack' | 'tree', frame: Uint8Array, pieces: readonly Piece[]): readonly Locator[]
  /** Closes the pack that is open, so that full locators into it can be had. */
  close(kind: 'pack' | 'tree'): void
  full(locator: Locator): FullLocator
}

export type PackSetup = {
  readonly vault: string
  readonly random: Random
  readonly recipients: { readonly pack: readonly Recipient[]; readonly tree: readonly Recipient[] }
  readonly target: number
  /** Counters left out between packs, so that the pack table has several leaves. */
  readonly stride: number
}

export const sealWith = (
  random: Random,
  recipients: readonly Recipient[],
  plaintext: Uint8Array,
): { readonly bytes: Uint8Array; readonly preamble: Uint8Array } => {
  const fileKey = random(16)
  const nonce = random(16)
  const ephemerals = recipients.map(() => random(32))
  const preamble = encodePreamble({ fileKey, nonce, recipients, ephemerals })
  const payload = sealPayload(payloadKey(fileKey, nonce), plaintext)
  return { bytes: Uint8Array.from(Buffer.concat([preamble, payload])), preamble }
}

export const hash64 = (bytes: Uint8Array): string =>
  toBase64url(createHash('sha256').update(bytes).digest())

type Open = { readonly no: PackNo; frames: FramePlace[] }

export const createPackStore = (setup: PackSetup): PackStore => {
  const objects = new Map<string, Uint8Array>()
  const placed = new Map<PackNo, PlacedObject>()
  const writers = {
    pack: createMemoryPack(setup.target),
    tree: createMemoryPack(setup.target),
  }
  const open: { pack: Open | null; tree: Open | null } = { pack: null, tree: null }
  let counter = 0
  const close = (kind: 'pack' | 'tree'): void => {
    const one = open[kind]
    if (one === null) return
    const { bytes, preamble } = sealWith(
      setup.random,
      setup.recipients[kind],
      writers[kind].finish(),
    )
    writers[kind] = createMemoryPack(setup.target)
    open[kind] = null
    const key = packKey(setup.vault, kind, one.no, toHex(setup.random(16)))
    objects.set(key, bytes)
    placed.set(one.no, {
      pack: one.no,
      key,
      size: bytes.length,
      sha256: hash64(bytes),
      headerHash: hash64(preamble),
      kind,
      preamble: preamble.length,
      frames: one.frames,
    })
  }
  const begin = (): Open => {
    counter += 1 + (setup.stride > 1 ? (setup.random(1)[0] ?? 0) % setup.stride : 0)
    return { no: packNo(0, counter), frames: [] }
  }
  return {
    objects,
    placed,
    add: (kind, frame, pieces) => {
      const one = (open[kind] ??= begin())
      const offset = writers[kind].add(frame, pieces)
      one.frames.push({ offset, length: frame.length })
      if (writers[kind].full) close(kind)
      return pieces.map(({ id, offset: within, length }) => [
        one.no,
        offset,
        frame.length,
        within,
        length,
        toBase64url(id),
      ])
    },
    close,
    full: (locator) => {
      const row = placed.get(locator[0])
      if (row === undefined) throw new RangeError('the pack is still open')
      return [...locator, row.key, row.size, row.sha256, row.headerHash]
    },
  }
}
