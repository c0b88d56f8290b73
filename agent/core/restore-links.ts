/** Files with several names: the first one restored is the file, the others become links to it. */
import { createHash } from 'node:crypto'
import type { Entry } from '#shared/format/tree.ts'
import type { Place } from '#shared/format/tree-order.ts'
import type { Problem } from './restore-job.ts'

/** What to do with one more name of a group. */
export type LinkStep =
  /** Restore it like any file, and tell `settle` how it went. */
  | { readonly link: 'first'; readonly settle: (problem: Problem | null) => void }
  /** Wait for the first: `then` is called with it, or with what was wrong with it. */
  | { readonly link: 'later' }

type Outcome = Place | Problem
type Group = {
  readonly identity: string
  readonly first: Place
  outcome: Outcome | null
  waiting: ((outcome: Outcome) => void)[]
}

export type Links = {
  next(
    group: string,
    named: Place & { readonly entry: Entry },
    then: (outcome: Outcome) => void,
  ): LinkStep
}

/** Groups remembered, some 300 bytes each; the further names of one that was forgotten become a file of their own. */
const GROUPS = 1_000_000

const OTHER: Problem = {
  code: 'DAMAGED',
  details: { what: 'A group of hard links', problem: 'its names do not have the same content' },
}

/** The names of one file must agree in all that a link cannot tell apart. */
const identityOf = ({ type, size, target, content, more, holes }: Entry): string =>
  createHash('sha256')
    .update(JSON.stringify([type, size, target, content, more, holes]))
    .digest('base64url')

export const createLinks = (most = GROUPS): Links => {
  const groups = new Map<string, Group>()
  const forget = (): void => {
    if (groups.size <= most) return
    for (const [name, group] of groups) {
      if (group.outcome === null) continue
      groups.delete(name)
      return
    }
  }
  return {
    next: (name, { dir, name: file, entry }, then) => {
      const identity = identityOf(entry)
      const known = groups.get(name)
      if (known === undefined) {
        const group: Group = { identity, first: { dir, name: file }, outcome: null, waiting: [] }
        groups.set(name, group)
        forget()
        return { link: 'first', settle: (problem) => settle(group, problem) }
      }
      if (known.identity !== identity) then(OTHER)
      else if (known.outcome !== null) then(known.outcome)
      else known.waiting.push(then)
      return { link: 'later' }
    },
  }
}

const settle = (group: Group, problem: Problem | null): void => {
  const outcome = problem ?? group.first
  group.outcome = outcome
  for (const then of group.waiting) then(outcome)
  group.waiting = []
}
