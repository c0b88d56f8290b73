/** How often a storage may verify by itself. */
import { DAY, HOUR, type Ms } from '#shared/units.ts'

export const VERIFY_EVERY: readonly [least: Ms, most: Ms] = [HOUR, 400 * DAY]
