/** The directories of a restore, held open while something is written into them. */
import { fstatSync, mkdirSync } from 'node:fs'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import type { OnWay } from '../core/restore-ports.ts'
import { close, codeOf, type Handle, inside, makeBelow, openBelow } from './restore-paths.ts'

/** Directories kept open though nothing uses them: a path and its neighbours. */
const IDLE = 256

type Held = { readonly handle: Handle; users: number }

export type Hold = { readonly handle: Handle; readonly release: () => void }

export type Directories = {
  /** Opens a directory and counts one user; with `onWay`, it and those above it are made if they are not there. */
  hold(dir: Bytes, onWay: OnWay | null): Hold
  /** Null where it, or one above it, is not there. */
  holdExisting(dir: Bytes): Hold | null
  /** Makes a directory and keeps it open for a while; `fresh`: it must not be there yet. */
  make(dir: Bytes, name: Bytes, fresh: boolean): void
  readonly closeAll: () => void
}

/** The directory above; `/` is above itself. */
const above = (dir: Bytes): Bytes => {
  const cut = dir.lastIndexOf('/')
  return cut <= 0 ? '/' : dir.slice(0, cut)
}

type Store = {
  known(dir: Bytes): Held | undefined
  keep(dir: Bytes, handle: Handle): Held
  forget(): void
  readonly closeAll: () => void
}

/** Those used last stay, and those in use. */
const createStore = (top: Handle): Store => {
  const held = new Map<Bytes, Held>([['/', { handle: top, users: 1 }]])
  return {
    known: (dir) => {
      const one = held.get(dir)
      if (one === undefined) return undefined
      held.delete(dir)
      held.set(dir, one)
      return one
    },
    keep: (dir, handle) => {
      const one = { handle, users: 0 }
      held.set(dir, one)
      return one
    },
    forget: () => {
      if (held.size <= IDLE) return
      for (const [dir, one] of held) {
        if (one.users > 0) continue
        held.delete(dir)
        close(one.handle)
        if (held.size <= IDLE) return
      }
    },
    closeAll: () => {
      for (const { handle } of held.values()) close(handle)
      held.clear()
    },
  }
}

const mtimeOf = ({ fd }: Handle): bigint => fstatSync(fd, { bigint: true }).mtimeNs

type Child = { readonly parent: Handle; readonly above: Bytes; readonly name: Bytes }

/** Opens the child, or makes it and says so; what the parent was like is said before. */
const openOrMake = ({ parent, above: dir, name }: Child, onWay: OnWay): Handle => {
  try {
    return openBelow(parent, name)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
  onWay(dir, mtimeOf(parent))
  const made = makeBelow(parent, name)
  // Somebody else was quicker: then it is not ours to finish.
  if (made === null) return openBelow(parent, name)
  onWay(pathOf(dir, name), null)
  return made
}

/** From the deepest one that is open, name by name: paths may be deeper than a call stack. */
const openAll = (store: Store, dir: Bytes, onWay: OnWay | null): Held => {
  let at = dir
  let one = store.known(at)
  while (one === undefined) {
    at = above(at)
    one = store.known(at)
  }
  while (at !== dir) {
    const start = at === '/' ? 1 : at.length + 1
    const slash = dir.indexOf('/', start)
    const name = dir.slice(start, slash < 0 ? dir.length : slash)
    const child = { parent: one.handle, above: at, name }
    const handle = onWay === null ? openBelow(one.handle, name) : openOrMake(child, onWay)
    at = pathOf(at, name)
    one = store.keep(at, handle)
  }
  return one
}

const MISSING: ReadonlySet<string> = new Set(['ENOENT'])

export const createDirectories = (top: Handle): Directories => {
  const store = createStore(top)
  const held = (one: Held): Hold => {
    one.users += 1
    store.forget()
    return {
      handle: one.handle,
      release: () => {
        one.users -= 1
      },
    }
  }
  return {
    hold: (dir, onWay) => {
      const one = openAll(store, dir, onWay)
      onWay?.(dir, mtimeOf(one.handle))
      return held(one)
    },
    holdExisting: (dir) => {
      try {
        return held(openAll(store, dir, null))
      } catch (error) {
        if (MISSING.has(codeOf(error))) return null
        throw error
      }
    },
    make: (dir, name, fresh) => {
      const parent = openAll(store, dir, null)
      if (fresh) mkdirSync(inside(parent.handle, name), 0o700)
      const made = fresh ? null : makeBelow(parent.handle, name)
      store.keep(pathOf(dir, name), made ?? openBelow(parent.handle, name))
      store.forget()
    },
    closeAll: store.closeAll,
  }
}
