/** Against the stock `zstd` program: what is inside the age files is standard frames that anyone can decode. */
import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { frameOf, storeFrame } from '#shared/format/frame.ts'
import { createSegmenter } from '#shared/format/segment.ts'
import { encodeEntry } from '#shared/format/tree.ts'
import { KiB, MiB } from '#shared/units.ts'
import { bytesOf, fileOf, keyOf, placesOf } from '../support/format-material.ts'
import { createMemoryPack } from '../support/memory-pack.ts'

const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined
const haveZstd = has('zstd')
const haveJq = has('jq')

const run = (program: string, args: readonly string[], input: Uint8Array): Buffer => {
  const done = spawnSync(program, args, { input, maxBuffer: 256 * MiB })
  if (done.status !== 0) throw new Error(`${program}: ${done.stderr.toString()}`)
  return done.stdout
}

const contents = [
  Buffer.alloc(3 * MiB, 'text that repeats, '),
  bytesOf(MiB),
  bytesOf(1),
  bytesOf(255),
  bytesOf(70_000),
  Buffer.from('a'),
  bytesOf(300 * KiB),
]

describe('the zstd program', () => {
  test.skipIf(!haveZstd)(
    'gives the content of a whole pack, compressed and stored frames, index and padding passed over (needs zstd)',
    () => {
      const writer = createMemoryPack()
      for (const content of contents) {
        for (const frame of [frameOf(content), storeFrame(content)]) {
          writer.add(frame, [{ id: keyOf('x'), offset: 0, length: content.length }])
        }
      }
      const plaintext = writer.finish()
      const expected = Buffer.concat(contents.flatMap((content) => [content, content]))
      expect(run('zstd', ['-dc'], plaintext).equals(expected)).toBe(true)
      run('zstd', ['-t'], plaintext)
    },
  )

  test.skipIf(!haveZstd)('passes over a pack without frames (needs zstd)', () => {
    expect(run('zstd', ['-dc'], createMemoryPack().finish()).length).toBe(0)
  })

  test.skipIf(!haveZstd || !haveJq)(
    'turns a tree pack into lines that jq reads (needs zstd and jq)',
    () => {
      const places = placesOf(3000)
      const segmenter = createSegmenter(keyOf('segment'))
      const segments = places.flatMap(({ dir, name }, i) =>
        segmenter.push(dir, name, encodeEntry(name, fileOf(i))),
      )
      const writer = createMemoryPack()
      for (const { bytes, sha256 } of [...segments, ...segmenter.end()]) {
        writer.add(frameOf(bytes), [{ id: sha256, offset: 0, length: bytes.length }])
      }
      const lines = run('zstd', ['-dc'], writer.finish())
      const names = run('jq', ['-r', 'select(.n) | .n'], lines).toString().trimEnd().split('\n')
      expect(names).toEqual(places.map(({ name }) => name))
    },
  )
})
