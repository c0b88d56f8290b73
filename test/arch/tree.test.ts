import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** What is tracked, and what is new and not ignored: the tree as a commit would hold it. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && existsSync(`${root}${path}`))

describe('the tree is the architecture', () => {
  test('the top level holds the four folders, the three files and what tools insist on', () => {
    const allowed = ['package.json', 'package-lock.json', 'tsconfig.json', 'README.md']
    const folders = ['server', 'agent', 'shared', 'deploy', 'test']
    const others = files.filter((path) => {
      const top = path.split('/')[0] ?? ''
      return path.includes('/') && !top.startsWith('.')
        ? !folders.includes(top)
        : !allowed.includes(top) && !top.startsWith('.')
    })
    expect(others).toEqual([])
  })

  test('no folder or file is called utils, helpers, common, lib, services or types', () => {
    const banned = /(^|\/)(utils?|helpers?|common|lib|services?|types)(\/|\.ts$)/
    expect(files.filter((path) => banned.test(path))).toEqual([])
  })

  test('no file re-exports a folder', () => {
    expect(files.filter((path) => /(^|\/)index\.ts$/.test(path))).toEqual([])
  })

  test('nothing in the tree names a registry host or a home folder', () => {
    const host = ['registry', 'npmjs', 'org'].join('.')
    const guilty = files.filter((path) => {
      const text = readFileSync(`${root}${path}`, 'latin1')
      return text.includes(host) || text.includes(['', 'root', ''].join('/'))
    })
    expect(guilty).toEqual([])
  })

  test('every change note says what kind it is and starts with a sentence', () => {
    const notes = files.filter((path) => path.startsWith('deploy/changes/'))
    for (const path of notes) {
      expect(path).toMatch(/^deploy\/changes\/(fix|add|change|security)-[a-z0-9-]+\.md$/)
      expect(readFileSync(`${root}${path}`, 'utf8').split('\n')[0]).toMatch(/^[A-Z`].*\.$/)
    }
  })

  test('every package of the product has its reason in ARCHITECTURE.md', () => {
    const { dependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
      dependencies: Record<string, string>
    }
    const page = readFileSync(`${root}shared/ARCHITECTURE.md`, 'utf8')
    expect(Object.keys(dependencies).filter((name) => !page.includes(`\`${name}\``))).toEqual([])
    expect(
      Object.values(dependencies).filter((version) => !/^\d+\.\d+\.\d+/.test(version)),
    ).toEqual([])
  })
})
