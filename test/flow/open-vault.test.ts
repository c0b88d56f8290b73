import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { makeIdentity, showFingerprint } from '#shared/format/keys.ts'
import { parseKey } from '#shared/format/layout.ts'
import { eventsOf, runOpen } from '../support/run-open.ts'
import { file, type VaultPlace, vaultPlace } from '../support/vault-place.ts'

let place: VaultPlace
afterEach(() => {
  place.remove()
})

const keyOf = (kind: string, last = false): string => {
  const keys = [...place.writer.objects.keys()].filter((key) => parseKey(key)?.kind === kind)
  const key = last ? keys.at(-1) : keys[0]
  if (key === undefined) throw new Error(`no ${kind}`)
  return key
}

/** Objects that the writer wrote but the bucket no longer has as they were. */
const damage = (key: string): void => {
  const bytes = Uint8Array.from(place.writer.objects.get(key) ?? [])
  bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1
  place.writer.objects.set(key, bytes)
}

describe('trust', () => {
  test('without a fingerprint the first use is trusted, and said so', async () => {
    place = vaultPlace('first use')
    place.writer.backup([file('/f', 'x')])
    const run = await place.open()
    expect(eventsOf(run, 'vault')).toMatchObject([
      { trust: 'first-use', fingerprint: place.writer.fingerprint },
    ])
    const text = await runOpen([place.bucket, '-i', join(place.folder, 'identity')])
    expect(text.out).toContain('trust on first use')
    expect(text.out).toContain(showFingerprint(place.writer.fingerprint))
  })

  test('a fingerprint given as people see it is compared; another one refuses the vault', async () => {
    place = vaultPlace('fingerprint')
    place.writer.backup([file('/f', 'x')])
    const right = showFingerprint(place.writer.fingerprint)
    expect((await place.open(`--genesis=${right}`)).lines[0]).toMatchObject({
      trust: 'fingerprint',
    })
    const wrong = await place.open('--genesis', 'ab'.repeat(32), 'restore', place.target)
    expect(wrong.exit).toBe(7)
    expect(existsSync(place.target)).toBe(false)
  })

  test('the recovery identity opens all; the list identity shows names and restores nothing', async () => {
    place = vaultPlace('identities')
    place.writer.backup([file('/f', 'content')])
    const { writer } = place
    writer.writeTo(place.bucket)
    const identity = join(place.folder, 'other')
    writeFileSync(identity, writer.recovery.text)
    const args = [place.bucket, '-i', identity, '--json']
    expect((await runOpen([...args, 'restore', place.target])).exit).toBe(0)
    rmSync(place.target, { recursive: true })
    writeFileSync(identity, writer.list.text)
    const listed = await runOpen([...args, 'ls'])
    expect(eventsOf(listed, 'entry')).toMatchObject([{ path: '/f', size: 7 }])
    const refused = await runOpen([...args, 'restore', place.target])
    expect(refused).toMatchObject({ exit: 4 })
    expect(existsSync(place.target)).toBe(false)
    writeFileSync(identity, makeIdentity(randomBytes(32)).text)
    expect((await runOpen([...args, 'ls'])).exit).toBe(4)
  })

  test('records signed by a key that the chain does not have are not believed', async () => {
    place = vaultPlace('chain')
    place.writer.backup([file('/f', 'one')])
    place.writer.nextSigner()
    place.writer.backup([file('/f', 'two')])
    place.writer.objects.delete(keyOf('signer', true))
    const run = await place.open()
    expect(eventsOf(run, 'backup')).toHaveLength(1)
    expect(eventsOf(run, 'problem')).toMatchObject([
      { code: 'DAMAGED', message: expect.stringContaining('no key of its vault') as string },
    ])
    expect(run.exit).toBe(7)
  })

  test('records signed by a key after it was replaced are not believed, and said', async () => {
    place = vaultPlace('replaced')
    place.writer.backup([file('/f', 'one')])
    place.writer.nextSigner()
    place.writer.backup([file('/f', 'two')])
    const { key } = place.writer.backup([file('/f', 'not ours')], { signer: 0 })
    const run = await place.open('restore', place.target)
    expect(readFileSync(join(place.target, 'f'), 'utf8')).toBe('two')
    expect(eventsOf(run, 'problem')).toMatchObject([
      { code: 'DAMAGED', message: expect.stringContaining('its key was replaced') as string },
    ])
    expect(eventsOf(run, 'newer')).toEqual([{ event: 'newer', key }])
    expect(run.exit).toBe(3)
  })
})

describe('choosing', () => {
  test('the latest is the one with the highest number that can be verified; a damaged newer one is said', async () => {
    place = vaultPlace('latest')
    place.writer.backup([file('/f', 'one')])
    place.writer.backup([file('/f', 'two')])
    place.writer.backup([file('/f', 'three')])
    damage(keyOf('record', true))
    const run = await place.open('restore', place.target)
    expect(readFileSync(join(place.target, 'f'), 'utf8')).toBe('two')
    expect(run.exit).toBe(3)
    expect(eventsOf(run, 'newer')).toEqual([{ event: 'newer', key: keyOf('record', true) }])
  })

  test('a damaged older record does not concern the latest', async () => {
    place = vaultPlace('older')
    place.writer.backup([file('/f', 'one')])
    place.writer.backup([file('/f', 'two')])
    damage(keyOf('record'))
    const run = await place.open('restore', place.target)
    expect(run.exit).toBe(0)
    expect(eventsOf(run, 'problem')).toHaveLength(1)
  })

  test('the record of one backup under the name of another is refused', async () => {
    place = vaultPlace('replay')
    place.writer.backup([file('/f', 'one')])
    place.writer.backup([file('/f', 'two')])
    place.writer.objects.set(
      keyOf('record', true),
      place.writer.objects.get(keyOf('record')) ?? new Uint8Array(),
    )
    const run = await place.open()
    expect(eventsOf(run, 'backup')).toMatchObject([{ sequence: 1 }])
    expect(eventsOf(run, 'problem')).toMatchObject([{ key: keyOf('record', true) }])
  })

  test('gaps in the numbers, and records that do not follow each other, are said', async () => {
    place = vaultPlace('gaps')
    for (const text of ['one', 'two', 'three']) place.writer.backup([file('/f', text)])
    place.writer.backup([file('/f', 'four')], {
      change: (body) => ({ ...body, previous: 'A'.repeat(43) }),
    })
    const [, second = ''] = [...place.writer.objects.keys()].filter(
      (key) => parseKey(key)?.kind === 'record',
    )
    place.writer.objects.delete(second)
    const run = await place.open()
    expect(
      eventsOf(run, 'gap').map(({ gap, first, sequence }) => [gap, first ?? sequence]),
    ).toEqual([
      ['missing', 2],
      ['broken', 4],
    ])
  })

  test('an unknown backup, vault or folder is "not found"', async () => {
    place = vaultPlace('unknown')
    place.writer.backup([file('/f', 'x')])
    const id = '01900000-0000-7000-8000-000000000000'
    expect((await place.open('--backup', id, 'ls')).exit).toBe(5)
    expect((await place.open('--vault', id)).exit).toBe(5)
    expect((await runOpen([place.outside, '-i', join(place.folder, 'identity')])).exit).toBe(5)
  })

  test.each([
    [[]],
    [['ls']],
    [['x', 'y', '-i', 'z']],
    [['x', '-i', 'z', 'restore']],
    [['--nonsense']],
  ])('wrong use %j says what is wrong', async (args) => {
    place = vaultPlace('use')
    const run = await runOpen(args)
    expect(run.exit).toBe(2)
    expect(run.err).toContain('--help')
  })

  test('the vault is found in the bucket, above it, and by its own folder', async () => {
    place = vaultPlace('where')
    place.writer.backup([file('/f', 'x')])
    place.writer.writeTo(join(place.bucket, 'some/prefix'))
    const identity = ['-i', join(place.folder, 'identity')]
    // An agent's own folder is not a vault, though it is nearer.
    mkdirSync(join(place.bucket, 'agent/vaults', place.writer.vault, 'packs'), { recursive: true })
    for (const path of [
      '',
      'some',
      'some/prefix',
      'some/prefix/vaults',
      `some/prefix/vaults/${place.writer.vault}`,
    ]) {
      expect((await runOpen([join(place.bucket, path), ...identity, 'ls'])).out).toContain('/f')
    }
  })
})
