/** The recovery kit leaves the control plane here, once. */
import { formatKit, type RecoveryKit } from '#shared/format/recovery-kit.ts'
import type { Screen } from './screen.ts'

export type KitDelivery = {
  readonly screen: Screen
  /** `--kit FILE`: there instead of the screen. */
  readonly file: string | null
  /** Mode 0600, and only where nothing is. */
  readonly createPrivate: (file: string, text: string) => Promise<void>
}

const RULE = '-'.repeat(76)

export const deliverKit = async (to: KitDelivery, kit: RecoveryKit): Promise<void> => {
  const text = formatKit(kit)
  if (to.file !== null) {
    await to.createPrivate(to.file, text)
    to.screen.say(`Your recovery kit is in ${to.file}.`)
    to.screen.say('Move it away from this machine: it opens every backup, and is made only once.')
    return
  }
  to.screen.say('This is your recovery kit. It is shown only this once: store it now.')
  to.screen.say(RULE)
  to.screen.say(text.trimEnd())
  to.screen.say(RULE)
}
