/** What reads committed backups on this machine: for browsing, downloads, verification and whoever is asked for keys. */
import type { OpenRequests } from '../ports/open-requests.ts'
import type { Reading } from '../ports/reading.ts'
import type { Base } from './base.ts'
import { systemClock } from './clock.ts'
import { openRequestsIn } from './db/open-requests/open-requests.ts'
import { openerSealing } from './db/open-requests/sealing.ts'
import { readingIn } from './db/reading/reading.ts'
import { idMaker } from './db/resources.ts'
import { systemRandom } from './random.ts'

export type ReadingPorts = { readonly reading: Reading; readonly openRequests: OpenRequests }

export const readingPortsOn = ({
  database: { db },
  sealing,
}: Pick<Base, 'database' | 'sealing'>): ReadingPorts => {
  const makeId = idMaker({ clock: systemClock, random: systemRandom })
  return {
    reading: readingIn(db, sealing),
    openRequests: openRequestsIn(db, { ...openerSealing(sealing), makeId }),
  }
}
