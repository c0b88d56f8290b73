/** How many uploads go at once: fewer when the store asks for it, one more after each good stretch. */
import type { Gate } from './gate.ts'

export type Pace = {
  slowDown(): void
  wentWell(): void
}

/** So many uploads in a row without a complaint allow one more at once. */
const GOOD_STRETCH = 8

export const createPace = (gate: Gate, most: number): Pace => {
  let allowed = most
  let well = 0
  const allow = (count: number): void => {
    allowed = Math.min(most, Math.max(1, count))
    well = 0
    gate.resize(allowed)
  }
  return {
    slowDown: () => allow(Math.floor(allowed / 2)),
    wentWell: () => {
      well += 1
      if (well >= GOOD_STRETCH && allowed < most) allow(allowed + 1)
    },
  }
}
