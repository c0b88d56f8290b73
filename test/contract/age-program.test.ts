/** Against the stock `age` and `age-keygen` programs: what a customer opens a backup with when we are gone. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { open } from '#shared/format/age.ts'
import { equalBytes } from '#shared/format/bytes.ts'
import { parseIdentityFile } from '#shared/format/keys.ts'
import { storeFrame } from '#shared/format/zstd.ts'
import { NO_INDEX, paddingFrame } from '#shared/format/padding.ts'
import { MiB } from '#shared/units.ts'
import { identityOf, plainOf, sealedFor } from '../support/age-material.ts'

const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined
const haveAge = has('age') && has('age-keygen')
const haveZstd = has('zstd')

const SIZES = [0, 1, 65_535, 65_536, 65_537, 16 * MiB]
const identities = ['content', 'recovery', 'list'].map(identityOf)

const run = (program: string, args: readonly string[], input?: Uint8Array): Buffer => {
  const done = spawnSync(program, args, { input, maxBuffer: 64 * MiB })
  if (done.status !== 0) throw new Error(`${program}: ${done.stderr.toString()}`)
  return done.stdout
}

describe('the age program', () => {
  let folder = ''
  const file = (name: string): string => join(folder, name)

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-age-'))
    for (const [i, identity] of identities.entries()) {
      writeFileSync(file(`${String(i)}.txt`), `# key ${String(i)}\n\n${identity.text}\n`)
    }
  })
  afterAll(() => {
    rmSync(folder, { recursive: true })
  })

  test.skipIf(!haveAge).each(SIZES)(
    'opens what we sealed, with each identity: %i bytes (needs age)',
    (size) => {
      const plaintext = plainOf(size)
      writeFileSync(file('ours.age'), sealedFor(identities, plaintext))
      for (const i of identities.keys()) {
        const opened = run('age', ['-d', '-i', file(`${String(i)}.txt`), file('ours.age')])
        expect(equalBytes(opened, plaintext)).toBe(true)
      }
    },
  )

  test.skipIf(!haveAge).each(SIZES)(
    'seals what we open, with each identity: %i bytes (needs age)',
    (size) => {
      const plaintext = plainOf(size)
      const to = identities.flatMap((identity) => ['-r', identity.recipient.text])
      const object = run('age', to, plaintext)
      for (const identity of identities) {
        expect(equalBytes(open(object, [identity]), plaintext)).toBe(true)
      }
    },
  )

  test.skipIf(!haveAge)(
    'makes identity files that we read, and agrees on their recipients (needs age)',
    () => {
      run('age-keygen', ['-o', file('made.txt')])
      const [made] = parseIdentityFile(readFileSync(file('made.txt'), 'utf8'))
      expect(made?.recipient.text).toBe(
        run('age-keygen', ['-y', file('made.txt')])
          .toString()
          .trim(),
      )
      for (const [i, identity] of identities.entries()) {
        const theirs = run('age-keygen', ['-y', file(`${String(i)}.txt`)])
        expect(identity.recipient.text).toBe(theirs.toString().trim())
      }
    },
  )

  test.skipIf(!haveAge)('refuses what we sealed once a byte of it is changed (needs age)', () => {
    const object = sealedFor(identities, plainOf(70_000))
    for (const at of [30, 200, object.length - 1]) {
      const bad = Uint8Array.from(object)
      bad[at] = (bad[at] ?? 0) ^ 1
      writeFileSync(file('bad.age'), bad)
      const done = spawnSync('age', ['-d', '-i', file('0.txt'), file('bad.age')])
      expect([at, done.status]).not.toEqual([at, 0])
    }
  })

  test.skipIf(!haveAge || !haveZstd)(
    'and zstd after it give the bare content of a padded object (needs age and zstd)',
    () => {
      const content = plainOf(300_000)
      const frame = storeFrame(content)
      const plaintext = Buffer.concat([frame, paddingFrame(frame.length, NO_INDEX)])
      writeFileSync(file('padded.age'), sealedFor(identities, plaintext))
      const opened = run('age', ['-d', '-i', file('2.txt'), file('padded.age')])
      expect(equalBytes(run('zstd', ['-dc'], opened), content)).toBe(true)
    },
  )
})
