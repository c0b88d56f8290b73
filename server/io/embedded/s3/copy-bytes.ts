import type { FileHandle } from 'node:fs/promises'
import { MiB } from '#shared/units.ts'
import { running, type ChecksumName } from './checksums.ts'
import type { Temp } from './temps.ts'

/** Digests that run along while bytes are copied. */
export type Digests = {
  readonly update: (piece: Buffer) => void
  /** Hex MD5, and the base64 of the other one where asked for. */
  finish(): { readonly md5: string; readonly checksum: string | null }
}

export const digests = (name: ChecksumName | null): Digests => {
  const md5 = running('md5')
  const extra = name === null ? null : running(name)
  return {
    update: (piece) => {
      md5.update(piece)
      extra?.update(piece)
    },
    finish: () => ({
      md5: md5.digest().toString('hex'),
      checksum: extra?.digest().toString('base64') ?? null,
    }),
  }
}

/**
 * Appends bytes `[start, end)` of an open file to a temporary one. Throws when the file is shorter. A fresh buffer a piece:
 * the temporary file writes while the next one is read.
 */
export const copyBytes = async (
  from: FileHandle,
  [start, end]: readonly [start: number, end: number],
  to: Temp,
  seen: (piece: Buffer) => void,
): Promise<void> => {
  for (let at = start; at < end;) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(MiB, end - at))
    const { bytesRead } = await from.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) throw new Error('a file became shorter while it was copied')
    const piece = buffer.subarray(0, bytesRead)
    seen(piece)
    await to.write(piece)
    at += bytesRead
  }
}
