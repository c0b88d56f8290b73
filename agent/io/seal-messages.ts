/** What main thread and sealing threads say to each other; structured clones, the sealed bytes transferred. */
import type { Bytes } from '#shared/format/tree-order.ts'
import type { Placed, ReadFiles, Sealed } from '../core/sealing.ts'
import type { Segments, Window } from '../ports.ts'

export type Work =
  | { readonly op: 'files'; readonly paths: readonly Bytes[] }
  | { readonly op: 'window'; readonly window: Window }
  | {
      readonly op: 'place'
      readonly reading: number
      readonly fresh: Uint8Array
      readonly numbers: readonly number[]
    }
  | { readonly op: 'segments'; readonly segments: Segments; readonly numbers: readonly number[] }
  | { readonly op: 'flush'; readonly kind: 'pack' | 'tree' }

export type Task = Work & { readonly id: number }

export type Result =
  | { readonly op: 'read'; readonly reading: number; readonly files: ReadFiles }
  | { readonly op: 'placed'; readonly placed: Placed }
  | { readonly op: 'flushed' }

export type Answer =
  | { readonly kind: 'done'; readonly id: number; readonly result: Result }
  | { readonly kind: 'failed'; readonly id: number; readonly problem: string }
  | { readonly kind: 'sealed'; readonly sealed: Sealed }
