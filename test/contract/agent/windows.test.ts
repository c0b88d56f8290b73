import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ARENA } from '#agent/core/sealing.ts'
import { chunks, createChunker } from '#shared/format/chunker.ts'
import { MiB } from '#shared/units.ts'
import { inlineSealers } from '../../support/agent-backup.ts'
import { keyOf } from '../../support/format-material.ts'
import { seeded } from '../../support/seeded.ts'

const chunkerKey = keyOf('chunker')

describe('a large file, read window by window', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hf-windows-'))
  const sealing = inlineSealers().start(
    { idKey: keyOf('id'), chunkerKey, pack: [], tree: [], packBytes: 4 * MiB },
    () => undefined,
  )
  afterAll(async () => {
    await sealing.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** The pieces it was cut into, and how many bytes were read for them. */
  const read = async (
    path: string,
    size: number,
  ): Promise<{ readonly lengths: readonly number[]; readonly bytes: number }> => {
    const lengths: number[] = []
    let bytes = 0
    for (let from = 0; from >= 0;) {
      const reading = await sealing.window({ path, from, limit: size, holes: null })
      const { files } = reading
      await reading.place(new Uint8Array(files.lengths.length), [])
      lengths.push(...files.lengths)
      bytes += files.sizes[0] ?? 0
      from = files.next
    }
    return { lengths, bytes }
  }

  // Noise is cut by its content; zeros nowhere, so that each piece has the most that one may have.
  test.each([
    ['noise', 5 * ARENA + 12_345],
    ['noise', 2 * ARENA],
    ['zeros', 3 * ARENA + 1],
  ])('of %s is cut where it would be cut as a whole, and hardly read twice', async (kind, size) => {
    const content = kind === 'noise' ? Buffer.from(seeded(kind).bytes(size)) : Buffer.alloc(size)
    const path = join(folder, `${kind} ${size}`)
    writeFileSync(path, content)
    const whole = [...chunks(createChunker(chunkerKey), [content])].map(({ length }) => length)
    const { lengths, bytes } = await read(path, size)
    expect(lengths).toEqual(whole)
    // Of each window the beginning of one piece at most is read again: 1 MiB on average, of 8.
    expect(bytes).toBeLessThan(1.3 * size)
  })
})
