import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { startInstance } from '../support/instance.ts'

const readme = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8')
const PROGRAMS = ['aws', 'curl', 'age', 'zstd', 'jq', 'bash'].map((name) => `/usr/bin/${name}`)
const missing = PROGRAMS.filter((path) => !existsSync(path))
const needs = missing.length === 0 ? '' : ` (needs ${missing.join(', ')})`

/** The commands of the README's section, word by word, as a person would paste them one after the other. */
const commands = (): string => {
  const [, section = ''] = readme.split('## The same by hand\n')
  const [own = ''] = section.split('\n## ')
  return [...own.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block).join('\n')
}

/** What the README tells the reader to replace: the address of the endpoint, and which file is wanted. */
const adapted = (endpoint: string, dir: string, name: string): string => {
  const script = commands()
  for (const text of ['http://127.0.0.1:8421', 'DIR=/etc NAME=hostname'])
    if (!script.includes(text)) throw new Error(`the README no longer says ${text}`)
  return script
    .replace('http://127.0.0.1:8421', endpoint)
    .replace('DIR=/etc NAME=hostname', `DIR='${dir}' NAME='${name}'`)
}

test.skipIf(missing.length > 0)(
  `a file is restored by hand with the commands of the README alone${needs}`,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-by-hand-'))
    const source = join(folder, 'source', 'deep')
    mkdirSync(source, { recursive: true })
    writeFileSync(join(source, 'small.txt'), 'what is small\n')
    // Above 512 KiB, so that it is cut; its content repeats nowhere.
    const large = Buffer.from(
      Array.from({ length: 400_000 }, (_, i) => (i * i * 31) >>> 3).join('\n'),
    )
    writeFileSync(join(source, 'large.txt'), large)
    const instance = await startInstance(folder)
    try {
      const { jobId } = await instance.protect('by-hand', [join(folder, 'source')])
      expect((await instance.backup(jobId))['status']).toBe('completed')
      const [storage] = (await instance.call('GET', '/v1/storages'))['data'] as {
        endpoint: string
      }[]
      for (const [name, content] of [
        ['small.txt', Buffer.from('what is small\n')],
        ['large.txt', large],
      ] as const) {
        const work = join(folder, `work-${name}`)
        mkdirSync(work)
        copyFileSync(instance.kit, join(work, 'kit.txt'))
        execFileSync('/usr/bin/bash', ['-c', adapted(storage!.endpoint, source, name)], {
          cwd: work,
          env: { PATH: '/usr/bin:/bin', HOME: work, DATA: instance.data },
          stdio: 'pipe',
        })
        expect(readFileSync(join(work, name)).equals(content)).toBe(true)
      }
    } finally {
      await instance.close()
      rmSync(folder, { recursive: true, force: true })
    }
  },
)
