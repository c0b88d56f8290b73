/** The content of a file: the locators of its blobs in order, wherever the tree keeps them. */
import { walkContentLists } from '../format/content-list.ts'
import type { Locator } from '../format/locator.ts'
import type { Entry } from '../format/tree.ts'
import type { TreeOf } from './tree.ts'

/** Locators in order, a run at a time. Those of a file of more than 64 blobs are read as they are needed. */
export async function* contentOf(
  tree: Pick<TreeOf, 'objects' | 'packs'>,
  { content = [], more }: Pick<Entry, 'content' | 'more'>,
): AsyncGenerator<readonly Locator[], void, void> {
  if (more === undefined) yield content
  else yield* listed(tree, more)
}

async function* listed(
  { objects, packs }: Pick<TreeOf, 'objects' | 'packs'>,
  more: readonly Locator[],
): AsyncGenerator<readonly Locator[], void, void> {
  const steps = walkContentLists(more)
  let bytes: Uint8Array | undefined
  for (;;) {
    const step = steps.next(bytes)
    if (step.done === true) return
    bytes = undefined
    if (step.value.fetch === undefined) yield step.value.blobs
    else {
      const row = await packs.row(step.value.fetch[0])
      bytes = await objects.segment(row, step.value.fetch)
    }
  }
}
