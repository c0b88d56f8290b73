/** Works on the items to come while the present one is used, at most `depth` of them, and answers in order. */
export async function* ahead<In, Out>(
  items: AsyncIterable<In> | Iterable<In>,
  depth: number,
  work: (item: In) => Promise<Out>,
): AsyncGenerator<Out, void, void> {
  const begun: Promise<Out>[] = []
  try {
    for await (const item of items) {
      const promise = work(item)
      // Its failure is heard when its turn comes; until then it is not "unhandled".
      promise.catch(() => undefined)
      begun.push(promise)
      if (begun.length <= depth) continue
      const next = begun.shift()
      if (next !== undefined) yield await next
    }
    for (let next = begun.shift(); next !== undefined; next = begun.shift()) yield await next
  } finally {
    await Promise.allSettled(begun)
  }
}
