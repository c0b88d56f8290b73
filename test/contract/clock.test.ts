import { expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'

test('a sleep ends with the reason as soon as it is called off, even before it began', async () => {
  const stop = new AbortController()
  const sleeping = systemClock.sleep(2 ** 40, stop.signal)
  stop.abort(new Error('enough'))
  await expect(sleeping).rejects.toThrow('enough')
  await expect(systemClock.sleep(2 ** 40, stop.signal)).rejects.toThrow('enough')
})

test('a sleep that is not called off ends by itself and leaves no listener behind', async () => {
  const stop = new AbortController()
  const before = systemClock.monotonic()
  await systemClock.sleep(5, stop.signal)
  await systemClock.sleep(0, stop.signal)
  expect(systemClock.monotonic()).toBeGreaterThan(before)
  stop.abort(new Error('nobody listens'))
})
