/**
 * An agent that was refused as a copy stays refused, whoever starts it again. Each try counts one connection more: a
 * copy that a supervisor starts over and over would pass the count of the agent that it was copied from, and the two would take
 * the server from each other in turn (PROTOCOL.md, "connect"). A new enrolment, which a person begins, ends it.
 */
import { Failure, fail } from '#shared/errors.ts'
import type { Identity } from '../core/state.ts'

/** Throws `AGENT_CLONED` where it was refused before; no connection is tried then. */
export const refuseCopy = ({ copied, server }: Identity): void => {
  if (copied !== undefined) throw fail('AGENT_CLONED', { server: server ?? '', ...copied })
}

/** What is to be remembered of a failure of the link; null of any other one. */
export const copyIn = (error: unknown): Pick<Identity, 'copied'> | null => {
  if (!(error instanceof Failure) || error.code !== 'AGENT_CLONED') return null
  const { joins, known } = error.details
  return { copied: { joins: Number(joins) || 0, known: Number(known) || 0 } }
}

/** It was enrolled anew. */
export const withoutCopy = (identity: Identity): Identity => {
  const kept = { ...identity }
  delete kept.copied
  return kept
}
