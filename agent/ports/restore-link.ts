/** The control plane as one restore sees it; the restoring half of `RunLink` (ports.ts). */
import type { Orders } from '#shared/protocol/orders.ts'
import type { Body } from '../ports.ts'

/** Answers to the requests of a restore, by the request's type. */
export type RestoreAnswers = {
  'selection.request': Orders['selection.given']
  'packs.request': Orders['packs.opened']
  'restore.finish': Orders['restore.settled']
  'restore.ended': Orders['restore.settled']
}

export type RestoreTold =
  'restore.accepted' | 'restore.refused' | 'restore.progress' | 'restore.noted' | 'log'

/** Requests and tellings are seen through as those of `RunLink` are. */
export type RestoreLink = {
  request<T extends keyof RestoreAnswers>(
    type: T,
    body: Body<T>,
    stop: AbortSignal,
  ): Promise<RestoreAnswers[T]>
  tell<T extends RestoreTold>(type: T, body: Body<T>): void
}
