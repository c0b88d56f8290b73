/** Peculiar things to back up: everything that a file system can hold and a backup can lose. Names are byte strings. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { native } from '#agent/io/native.ts'
import { fsPath } from '#agent/io/path.ts'
import { GiB, KiB, MiB } from '#shared/units.ts'
import { noise, sparseFile } from './sparse-file.ts'
import { LONG_NAMES, NAMES, TARGETS, TEXT_NAMES } from './strange-names.ts'

const ROOT = process.geteuid?.() === 0

const system = (): NonNullable<ReturnType<typeof native>> => {
  const there = native()
  if (there === null) throw new Error('the corpus needs koffi')
  return there
}

const file = (path: string, content: string | Uint8Array = path): void =>
  writeFileSync(fsPath(path), content)
const folder = (path: string): void => void mkdirSync(fsPath(path), { recursive: true })
const attribute = (path: string, name: string, value: string): void =>
  system().setAttribute(fsPath(path), name, value)

const MODES = [0, 0o1, 0o200, 0o400, 0o600, 0o755, 0o777, 0o1777, 0o2755, 0o4755, 0o6755, 0o7777]

const modes = (at: string): void => {
  for (const mode of MODES) {
    const text = mode.toString(8)
    file(`${at}/file ${text}`)
    chmodSync(`${at}/file ${text}`, mode)
    folder(`${at}/folder ${text}`)
    file(`${at}/folder ${text}/in it`)
    chmodSync(`${at}/folder ${text}`, mode)
  }
}

const OWNERS = [
  [0, 1],
  [1, 0],
  [1000, 1000],
  [65_534, 65_534],
  [65_536, 70_000],
  [2 ** 31, 2 ** 31],
  [2 ** 32 - 2, 2 ** 32 - 2],
] as const

const owners = (at: string): void => {
  for (const [uid, gid] of OWNERS) {
    const path = `${at}/of ${uid} ${gid}`
    file(path)
    chownSync(path, uid, gid)
    // After the owner: changing that clears these bits.
    chmodSync(path, 0o6755)
    folder(`${path} folder`)
    chownSync(`${path} folder`, uid, gid)
    symlinkSync('nowhere', `${path} link`)
    lchownSync(`${path} link`, uid, gid)
  }
}

const names = (at: string): void => {
  const texts = [...TEXT_NAMES, LONG_NAMES[2] ?? '']
  const bytes = texts.map((name) => Buffer.from(name).toString('latin1'))
  for (const name of [...NAMES, ...bytes, ...LONG_NAMES.slice(0, 2)]) file(`${at}/${name}`, name)
  folder(`${at}/folder\n\xff`)
  file(`${at}/folder\n\xff/in\n\xfe`)
  for (const name of ['.holdfast-0123456789ab-1', 'CACHEDIR.TAG', '.nobackup'])
    file(`${at}/${name}`)
}

const links = (at: string): void => {
  TARGETS.forEach((target, i) => {
    const name = target === 'self' ? 'self' : `link ${i}`
    symlinkSync(fsPath(target), `${at}/${name}`)
  })
}

const hardLinks = (at: string): void => {
  file(`${at}/one`)
  file(`${at}/empty`, '')
  symlinkSync('one', `${at}/symlink`)
  file(`${at}/large`, noise('large', 5 * MiB))
  sparseFile(`${at}/sparse`, 100 * KiB, [[40 * KiB, 8 * KiB]])
  folder(`${at}/below/\xff`)
  const pairs = ['one', 'empty', 'symlink', 'large', 'sparse']
  if (ROOT) {
    execFileSync('mkfifo', [`${at}/pipe`])
    execFileSync('mknod', [`${at}/device`, 'c', '1', '7'])
    pairs.push('pipe', 'device')
  }
  for (const name of pairs) {
    linkSync(`${at}/${name}`, `${at}/0 ${name}`)
    linkSync(`${at}/${name}`, fsPath(`${at}/below/\xff/${name}`))
  }
}

const special = (at: string): void => {
  for (const mode of ['600', '666', '000'])
    execFileSync('mkfifo', ['-m', mode, `${at}/fifo ${mode}`])
  if (!ROOT) return
  const devices = ['c 1 3', 'c 255 1048575', 'c 4095 0', 'b 7 0', 'b 259 70000']
  for (const device of devices) execFileSync('mknod', [`${at}/${device}`, ...device.split(' ')])
  for (const name of ['fifo set', 'c set']) {
    const kind = name.startsWith('fifo') ? ['p'] : ['c', '1', '5']
    execFileSync('mknod', [`${at}/${name}`, ...kind])
    chmodSync(`${at}/${name}`, 0o6711)
    attribute(`${at}/${name}`, 'trusted.holdfast', name)
  }
}

const SIZES = [
  ...[0, 1, 2, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536, 65_537],
  ...[512 * KiB - 1, 512 * KiB, 512 * KiB + 1, MiB, MiB + 1, 4 * MiB, 4 * MiB + 1, 9 * MiB + 17],
]

const sizes = (at: string): void => {
  for (const size of SIZES) file(`${at}/${size} noise`, noise(String(size), size))
  for (const size of [1, 4096, 600_000]) {
    file(`${at}/${size} zeros`, Buffer.alloc(size))
    file(`${at}/${size} ones`, Buffer.alloc(size, 0xff))
  }
}

/** cap_net_raw+ep, as `setcap` writes it. */
const CAPABILITY =
  '\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00'

const attributes = (at: string): void => {
  const values = {
    empty: '',
    text: 'value',
    nul: 'a\0b',
    binary: '\xff\x00\x80',
    long: 'x'.repeat(3000),
  }
  for (const [name, value] of Object.entries(values)) {
    file(`${at}/${name}`)
    attribute(`${at}/${name}`, `user.${name}`, value)
    file(`${at}/${name} of an empty file`, '')
    attribute(`${at}/${name} of an empty file`, `user.${name}`, value)
    folder(`${at}/${name} of a folder`)
    attribute(`${at}/${name} of a folder`, `user.${name}`, value)
  }
  file(`${at}/many`)
  for (let i = 0; i < 60; i += 1) attribute(`${at}/many`, `user.${i} ${'n'.repeat(i)}`, `${i}`)
  file(`${at}/names`)
  for (const name of ['\xff', 'ü', 'a b', '"', 'n'.repeat(250)])
    attribute(`${at}/names`, `user.${name}`, '')
  file(`${at}/read only`)
  attribute(`${at}/read only`, 'user.a', 'b')
  chmodSync(`${at}/read only`, 0o444)
  file(`${at}/large`, noise('with attributes', 5 * MiB))
  attribute(`${at}/large`, 'user.large', 'yes')
  if (!ROOT) return
  symlinkSync('nowhere', `${at}/of a link`)
  attribute(`${at}/of a link`, 'trusted.link', 'yes')
  file(`${at}/trusted`)
  attribute(`${at}/trusted`, 'trusted.overlay.opaque', 'y')
  for (const [name, owner] of [
    ['capable', 0],
    ['capable of 1000', 1000],
  ] as const) {
    file(`${at}/${name}`)
    chownSync(`${at}/${name}`, owner, owner)
    chmodSync(`${at}/${name}`, 0o755)
    attribute(`${at}/${name}`, 'security.capability', CAPABILITY)
  }
}

const setAcl = (path: string, ...args: string[]): void =>
  void execFileSync('setfacl', [...args, '--', path])

const accessLists = (at: string): void => {
  const lists = ['u:1000:r', 'g:1000:rwx', 'u:1:-,u:2:x,u:3:w,g:9:r,m::r', 'u:4000000000:rw']
  lists.forEach((list, i) => {
    file(`${at}/file ${i}`)
    setAcl(`${at}/file ${i}`, '-m', list)
    folder(`${at}/folder ${i}`)
    setAcl(`${at}/folder ${i}`, '-m', list)
    folder(`${at}/default ${i}`)
    setAcl(`${at}/default ${i}`, '-d', '-m', list)
    // Made below a default list, and without one of its own.
    file(`${at}/default ${i}/inherits`)
    file(`${at}/default ${i}/bare`)
    setAcl(`${at}/default ${i}/bare`, '-b')
    folder(`${at}/default ${i}/folder`)
    folder(`${at}/default ${i}/bare folder`)
    setAcl(`${at}/default ${i}/bare folder`, '-b')
  })
  file(`${at}/long`)
  const long = Array.from({ length: 400 }, (_, i) => `u:${20_000 + i}:rw`).join(',')
  setAcl(`${at}/long`, '-m', long)
  file(`${at}/empty`, '')
  setAcl(`${at}/empty`, '-m', 'u:5:r')
}

const holes = (at: string): void => {
  const block = 4096
  sparseFile(`${at}/only a hole`, 1 * MiB, [])
  sparseFile(`${at}/begins`, 64 * KiB, [[60 * KiB, block]])
  sparseFile(`${at}/ends`, 64 * KiB, [[0, block]])
  sparseFile(`${at}/ends odd`, 64 * KiB + 1, [[0, block]])
  sparseFile(`${at}/within`, 64 * KiB, [
    [0, block],
    [60 * KiB, block],
  ])
  const often = Array.from({ length: 500 }, (_, i) => [i * 2 * block, block] as const)
  sparseFile(`${at}/often`, 500 * 2 * block, often)
  sparseFile(`${at}/large, begins`, 20 * MiB, [[19 * MiB, MiB]])
  sparseFile(`${at}/large, between`, 40 * MiB, [
    [0, 5 * MiB],
    [21 * MiB, 9 * MiB],
  ])
  sparseFile(`${at}/large, only a hole`, 3 * GiB, [])
  sparseFile(`${at}/large, ends`, 3 * GiB + 5, [[block, 700 * KiB]])
}

const deep = (at: string): void => {
  let path = at
  for (let level = 0; level < 60; level += 1) path += `/${level}`
  folder(path)
  file(`${path}/file`)
}

const TIMES = [
  ...[0n, 1n, 999n, 999_999_999n, 1_000_000_000n, -1n, -999_999_999n, -1_000_000_001n],
  ...[1_700_000_000_123_456_789n, 2_147_483_647_999_999_999n, 2_147_483_648_000_000_001n],
  ...[4_102_444_800_999_999_999n, -2_147_483_648_000_000_000n, 1_600_000_000_000_000_001n],
]

/** Every entry has its own time, to the nanosecond; folders after what is in them. */
const setTimes = (path: string, next: () => bigint): void => {
  const isFolder = lstatSync(fsPath(path)).isDirectory()
  if (isFolder)
    for (const name of readdirSync(fsPath(path), { encoding: 'latin1' }))
      setTimes(`${path}/${name}`, next)
  system().setTime(fsPath(path), next())
}

const times = (at: string): void => {
  for (const time of TIMES) {
    file(`${at}/file ${time}`)
    folder(`${at}/folder ${time}`)
    symlinkSync('nowhere', `${at}/link ${time}`)
    for (const kind of ['file', 'folder', 'link']) system().setTime(`${at}/${kind} ${time}`, time)
  }
}

const KINDS = {
  ...{ modes, names, links, hardLinks, special, sizes, attributes, accessLists, holes, deep },
  ...(ROOT ? { owners } : {}),
}

/** Fills an empty folder; says how many entries there are. */
export const makeCorpus = (at: string): number => {
  for (const [kind, make] of Object.entries(KINDS)) {
    folder(`${at}/${kind}`)
    make(`${at}/${kind}`)
  }
  let count = 0
  setTimes(at, () => {
    count += 1
    return 1_600_000_000_000_000_000n + BigInt(count) * 1_000_000_007n
  })
  folder(`${at}/times`)
  times(`${at}/times`)
  return count + 3 * TIMES.length
}
