import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { allows, formatPolicy } from '#agent/core/policy.ts'
import { createGuard } from '#agent/flow/guard.ts'
import { policyFile, type Trust, trustOf, writePolicy } from '#agent/io/policy-file.ts'
import type { Policies } from '#agent/ports/policy.ts'

const ME = process.geteuid?.() ?? 0
const GROUP = process.getegid?.() ?? 0
const ROOT = ME === 0
const SOMEBODY = 12_345
const trust: Trust = { users: new Set([0, ME]), groups: new Set() }

let folder: string
let file: string
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'hf-policy-')))
  mkdirSync(join(folder, 'etc'), { mode: 0o755 })
  file = join(folder, 'etc', 'policy.json')
  writePolicy(file, formatPolicy({ sources: [join(folder, 'data')], restores: [] }))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const problemOf = (policies: Policies = policyFile(file, trust)): string => {
  try {
    policies.read()
    return ''
  } catch (error) {
    expect(error).toMatchObject({ code: 'POLICY_UNUSABLE' })
    return String(error)
  }
}

describe('a policy file', () => {
  test('that nobody else could have written counts, in a folder in which nobody else could have', () => {
    expect(problemOf()).toBe('')
    expect(statSync(file).mode & 0o777).toBe(0o644)
    expect(policyFile(file, trust).read()).toMatchObject({ file, restores: [] })
  })

  test.each([0o646, 0o664, 0o666])('with mode %o does not', (mode) => {
    chmodSync(file, mode)
    expect(problemOf()).toContain('can be written by others')
  })

  test('counts where its group is one whose word is good', () => {
    chmodSync(file, 0o664)
    const own = { ...trust, groups: new Set([statSync(file).gid]) }
    expect(problemOf(policyFile(file, own))).toBe('')
    chmodSync(file, 0o666)
    expect(problemOf(policyFile(file, own))).toContain('can be written by others')
  })

  test('below a folder that others can write does not count, unless things stay whose they are there', () => {
    chmodSync(folder, 0o777)
    expect(problemOf()).toContain(`${folder} can be written by others (0777)`)
    chmodSync(folder, 0o1777)
    expect(problemOf()).toBe('')
  })

  test.runIf(ROOT)('that belongs to somebody, or lies in a folder of somebody, does not', () => {
    chownSync(file, SOMEBODY, GROUP)
    expect(problemOf()).toContain(`${file} belongs to user ${SOMEBODY}`)
    chownSync(file, ME, GROUP)
    chownSync(join(folder, 'etc'), SOMEBODY, GROUP)
    expect(problemOf()).toContain(`belongs to user ${SOMEBODY}`)
    const own = { ...trust, users: new Set([0, SOMEBODY]) }
    expect(problemOf(policyFile(file, own))).toBe('')
  })

  test('behind a link counts if neither the link nor what is behind it could be of others', () => {
    const link = join(folder, 'link.json')
    symlinkSync(file, link)
    expect(problemOf(policyFile(link, trust))).toBe('')
    chmodSync(join(folder, 'etc'), 0o777)
    expect(problemOf(policyFile(link, trust))).toContain('can be written by others')
  })

  test.each([
    ['is not there', () => rmSync(file), 'it does not exist; an agent does nothing without one'],
    [
      'is a folder',
      () => {
        rmSync(file)
        mkdirSync(file)
      },
      'it is not a file',
    ],
    ['is huge', () => writeFileSync(file, ' '.repeat(2 ** 20 + 1)), 'it is too large'],
    ['is something else', () => writeFileSync(file, '{'), 'it is not JSON'],
  ])('that %s is none', (_, change, problem) => {
    change()
    expect(problemOf()).toContain(problem)
  })

  test('is not written over', () => {
    expect(() => writePolicy(file, 'x')).toThrow(expect.objectContaining({ code: 'WRONG_USE' }))
    expect(problemOf()).toBe('')
  })

  test('may be written by who owns the program, and in no other case by more than root', () => {
    const { users, groups } = trustOf(file)
    expect([...users].sort()).toEqual([...new Set([0, ME])].sort())
    expect([...groups]).toEqual(ROOT ? [] : [GROUP])
    chmodSync(join(folder, 'etc'), 0o775)
    expect(trustOf(file).groups.has(statSync(join(folder, 'etc')).gid)).toBe(true)
  })
})

describe('what is allowed', () => {
  const asks = (...paths: string[]): Error | null =>
    createGuard(policyFile(file, trust)).backup({ sources: [{ type: 'files', paths }] })

  test('is what lies below, by the way that leads there and not by its name', () => {
    mkdirSync(join(folder, 'data', 'below'), { recursive: true })
    mkdirSync(join(folder, 'secret'))
    symlinkSync(join(folder, 'secret'), join(folder, 'data', 'out'))
    symlinkSync(join(folder, 'data'), join(folder, 'in'))
    expect(asks(join(folder, 'data', 'below'))).toBeNull()
    expect(asks(join(folder, 'in', 'below'))).toBeNull()
    expect(asks(join(folder, 'data', 'not yet', 'there'))).toBeNull()
    const out = [
      join(folder, 'secret'),
      join(folder, 'data', 'out'),
      join(folder, 'data', 'out', 'deeper'),
      folder,
      '/',
    ]
    for (const path of out) {
      expect(asks(path)).toMatchObject({ code: 'POLICY_REFUSED', details: { policy: file } })
      expect(asks(join(folder, 'data'), path)).toMatchObject({ code: 'POLICY_REFUSED' })
    }
  })

  test('follows what the named folder is by now', () => {
    mkdirSync(join(folder, 'moved'))
    symlinkSync(join(folder, 'moved'), join(folder, 'data'))
    expect(asks(join(folder, 'data', 'x'))).toBeNull()
    const { sources } = policyFile(file, trust).read()
    expect(sources).toEqual([join(folder, 'moved')])
  })

  test('is read anew for every order', () => {
    const guard = createGuard(policyFile(file, trust))
    const path = join(folder, 'later')
    expect(guard.restore(path)).toMatchObject({ code: 'POLICY_REFUSED' })
    writeFileSync(file, formatPolicy({ sources: [], restores: [folder] }))
    expect(guard.restore(path)).toBeNull()
    chmodSync(file, 0o666)
    expect(guard.restore(path)).toMatchObject({ code: 'POLICY_UNUSABLE' })
  })

  test('is found for names that are not UTF-8', () => {
    const odd = `${folder}/data/\xff\xfe`
    mkdirSync(Buffer.from(odd, 'latin1'), { recursive: true })
    const policies = policyFile(file, trust)
    expect(policies.real(odd)).toBe(odd)
    expect(allows(policies.read(), 'source', odd)).toBe(true)
  })
})
