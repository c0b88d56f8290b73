import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLane } from '#server/entry/lane.ts'

type Task = { readonly isSlow: boolean; readonly begin: () => Promise<void>; end(): void }

const never = (): void => undefined

test('ordered tasks run one after the other, slow ones beside them, never too many at once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { maxLength: 30 }),
      fc.infiniteStream(fc.nat()),
      async (kinds, choices) => {
        const running = new Set<number>()
        const begun: number[] = []
        const tasks = kinds.map((isSlow, place): Task => {
          const over = Promise.withResolvers<undefined>()
          return {
            isSlow,
            begin: async () => {
              begun.push(place)
              running.add(place)
              await over.promise
            },
            end: () => over.resolve(undefined),
          }
        })
        const lane = createLane(3, 1000, never)
        for (const task of tasks) lane.add(task.isSlow, task.begin)
        while (running.size > 0) {
          const slow = [...running].filter((place) => kinds[place] === true)
          expect(slow.length).toBeLessThanOrEqual(3)
          expect(running.size - slow.length).toBeLessThanOrEqual(1)
          const all = [...running]
          const place = all[choices.next().value! % all.length]!
          running.delete(place)
          tasks[place]!.end()
          await new Promise((resume) => setImmediate(resume))
        }
        // Each begins in its place in the line, so an ordered task never overtakes and is never overtaken.
        expect(begun).toEqual(kinds.map((_, place) => place))
      },
    ),
    { numRuns: 50 },
  )
})

test('says when it is full and when there is room again', async () => {
  const said: boolean[] = []
  const lane = createLane(1, 2, (isFull) => said.push(isFull))
  const over = Promise.withResolvers<undefined>()
  for (let n = 0; n < 4; n += 1) lane.add(false, async () => over.promise)
  expect(said).toEqual([true])
  over.resolve(undefined)
  await new Promise((resume) => setImmediate(resume))
  expect(said).toEqual([true, false])
})
