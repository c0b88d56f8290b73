/** A prepared download, fetched and opened with the programs that everybody has; and links that are no longer good. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Instance, startInstance } from '../support/instance.ts'

const PROGRAMS = ['curl', 'age', 'zstd', 'bash'].map((name) => `/usr/bin/${name}`)
const missing = PROGRAMS.filter((path) => !existsSync(path))
const needs = missing.length === 0 ? '' : ` (needs ${missing.join(', ')})`

type Data = Record<string, unknown>
const dataOf = (answer: Data): Data => answer['data'] as Data

describe.skipIf(missing.length > 0)(`a prepared download${needs}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'hf-download-'))
  const source = join(folder, 'source')
  const large = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * i * 7) >>> 3).join('\n'))
  let instance: Instance
  let backup: string

  beforeAll(async () => {
    mkdirSync(join(source, 'deep'), { recursive: true })
    writeFileSync(join(source, 'small.txt'), 'what is small\n')
    writeFileSync(join(source, 'deep', 'large.txt'), large)
    instance = await startInstance(folder)
    const { jobId } = await instance.protect('downloads', [source])
    const done = await instance.backup(jobId)
    expect(done['status']).toBe('completed')
    backup = String(done['id'])
    const [key] = (await instance.call('GET', '/v1/encryption-keys'))['data'] as Data[]
    const path = `/v1/encryption-keys/${String(key?.['id'])}/export`
    const identity = String(dataOf(await instance.call('POST', path, {}))['identity'])
    writeFileSync(join(folder, 'identity.txt'), `${identity}\n`, { mode: 0o600 })
  })
  afterAll(async () => {
    await instance.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const linksOf = async (files: readonly string[]): Promise<Record<string, string>> =>
    dataOf(await instance.call('POST', `/v1/backups/${backup}/download`, { files })) as Record<
      string,
      string
    >

  /** In a folder of its own, with the link in a file: no program's arguments hold it. */
  const shell = (script: string, link: string): string => {
    const work = mkdtempSync(join(folder, 'work-'))
    writeFileSync(join(work, 'link'), `url = "${link}"\n`)
    const env = { PATH: '/usr/bin:/bin', HOME: work, IDENTITY: join(folder, 'identity.txt') }
    const how = { cwd: work, env, stdio: 'pipe' } as const
    execFileSync('/usr/bin/bash', ['-euo', 'pipefail', '-c', script], how)
    return work
  }
  const statusOf = (link: string): string =>
    readFileSync(
      join(shell(`curl -sS -o body -w '%{http_code}' -K link > status`, link), 'status'),
      'utf8',
    )

  test('of a file is opened by curl and age', async () => {
    const links = await linksOf([join(source, 'small.txt')])
    const work = shell('curl -fsS -K link | age -d -i "$IDENTITY" -o out', links['small.txt.age']!)
    expect(readFileSync(join(work, 'out'), 'utf8')).toBe('what is small\n')
  })

  test('of a folder is opened by curl, age, zstd and tar', async () => {
    const links = await linksOf([source])
    const [link] = Object.values(links)
    const work = shell('curl -fsS -K link | age -d -i "$IDENTITY" | zstd -dc | tar -x', link!)
    expect(readFileSync(join(work, 'source', 'deep', 'large.txt')).equals(large)).toBe(true)
    expect(readFileSync(join(work, 'source', 'small.txt'), 'utf8')).toBe('what is small\n')
  })

  test('has a link that opens nothing when anything in it is altered', async () => {
    const links = await linksOf([join(source, 'small.txt')])
    const link = new URL(links['small.txt.age']!)
    expect(statusOf(link.href)).toBe('200')
    const altered = [...link.searchParams.keys()].map((name) => {
      const other = new URL(link)
      const value = other.searchParams.get(name) ?? ''
      const last = value.at(-1) === '1' ? '2' : '1'
      other.searchParams.set(name, value.slice(0, -1) + last)
      return [name, statusOf(other.href)]
    })
    const elsewhere = new URL(link)
    elsewhere.pathname = elsewhere.pathname.replace('downloads', 'vaults')
    altered.push(['path', statusOf(elsewhere.href)])
    expect(altered.filter(([, status]) => status !== '403' && status !== '400')).toEqual([])
  })

  test('that was removed has a link that leads to nothing', async () => {
    const headers = {
      authorization: `Bearer ${instance.token}`,
      'content-type': 'application/json',
    }
    const asked = await fetch(`${instance.url}/v1/backups/${backup}/download`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ files: [join(source, 'small.txt')] }),
    })
    const { data } = (await asked.json()) as { data: Record<string, string> }
    const link = data['small.txt.age']!
    expect([asked.status, statusOf(link)]).toEqual([200, '200'])
    const place = asked.headers.get('location') ?? ''
    expect(place).toMatch(/^\/v1\/downloads\/[0-9a-f-]{36}$/)
    const removed = await fetch(`${instance.url}${place}`, {
      method: 'DELETE',
      headers: { authorization: headers.authorization },
    })
    expect([removed.status, statusOf(link)]).toEqual([204, '404'])
  })
})
