/** Collects what comes while a request is under way, and asks for all of it in the next one. */
export type Batcher<In, Out> = {
  add(item: In): Promise<Out>
}

type Waiting<In, Out> = {
  readonly item: In
  resolve(out: Out): void
  reject(error: unknown): void
}

/**
 * `ask` answers in the order of the items; when it throws, everybody in that request gets the error. `gather`: waited for
 * before each request, so that what comes at once goes together.
 */
export const createBatcher = <In, Out>(
  most: number,
  ask: (items: readonly In[]) => Promise<readonly Out[]>,
  gather: () => Promise<void> = async () => Promise.resolve(),
): Batcher<In, Out> => {
  const queue: Waiting<In, Out>[] = []
  let busy = false
  const answer = async (batch: readonly Waiting<In, Out>[]): Promise<void> => {
    try {
      const outs = await ask(batch.map(({ item }) => item))
      if (outs.length !== batch.length) throw new RangeError('an answer for each item')
      for (const [index, out] of outs.entries()) batch[index]?.resolve(out)
    } catch (error) {
      for (const waiting of batch) waiting.reject(error)
    }
  }
  const work = async (): Promise<void> => {
    busy = true
    while (queue.length > 0) {
      await gather()
      await answer(queue.splice(0, most))
    }
    busy = false
  }
  return {
    add: async (item) =>
      await new Promise<Out>((resolve, reject) => {
        queue.push({ item, resolve, reject })
        if (!busy) void work()
      }),
  }
}
