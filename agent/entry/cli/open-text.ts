/** The events of `open` for people: results on standard output, trouble on standard error. */
import { showFingerprint } from '#shared/format/keys.ts'
import type { RecordBody } from '#shared/format/record.ts'
import { formatBytes, formatCount, SECOND } from '#shared/units.ts'
import type { OpenEvent } from '../../core/open-events.ts'
import { placePath, showBytes, showMode, showProblem, showTime } from '../../core/open-show.ts'
import { notSetLines, type RestoreCounts, type RestoreEvent } from '../../core/restore-events.ts'
import type { Gap } from '../../core/restore-history.ts'

type Say = (text: string) => void
type Out = { readonly out: Say; readonly err: Say; readonly live: boolean }

export type Text = {
  readonly tell: (event: OpenEvent) => void
  /** Ends what changes in place; before anything else is said. */
  readonly end: () => void
}

/** `list`: vaults are what was asked for; else they are said beside it. */
export const createText = ({ out, err, live }: Out, list: boolean): Text => {
  const status = createStatus(err, live)
  const say = (text: string): void => {
    status.clear()
    out(`${text}\n`)
  }
  const warn = (text: string): void => {
    status.clear()
    err(`${text}\n`)
  }
  return {
    tell: (event) => {
      if (event.at === 'restoring') status.show(event.counts)
      else if (event.at === 'vault') (list ? say : warn)(vaultText(event))
      else {
        if (event.at === 'restored' || event.at === 'verified') status.end()
        tell(event, say, warn)
      }
    },
    end: status.end,
  }
}

const EVERY = SECOND / 4
/** To the beginning of the line, and clear it. */
const CLEAR = '\r\x1b[K'

type Status = {
  readonly show: (counts: RestoreCounts) => void
  readonly clear: () => void
  readonly end: () => void
}

/** On a terminal, one line that says how far the restore is. */
const createStatus = (err: Say, live: boolean): Status => {
  let timer: NodeJS.Timeout | undefined
  let shown = false
  const clear = (): void => {
    if (shown) err(CLEAR)
    shown = false
  }
  return {
    show: (counts) => {
      if (!live) return
      timer = setInterval(() => {
        err(`${CLEAR}${formatCount(counts.files)} files, ${formatBytes(counts.bytes)}`)
        shown = true
      }, EVERY)
    },
    clear,
    end: () => {
      clearInterval(timer)
      clear()
    },
  }
}

type Rest = Exclude<OpenEvent, Of<'vault'> | Of<'restoring'>>

const tell = (event: Rest, say: Say, warn: Say): void => {
  if (event.at === 'backup') say(`  ${backupText(event.body)}`)
  else if (event.at === 'chosen') warn(`Backup ${backupText(event.body)}`)
  else if (event.at === 'entry') say(entryText(event))
  else if (event.at === 'restored') {
    say(`Restored into ${event.folder}: ${countsText(event.counts)}`)
  } else if (event.at === 'verified') {
    say(`Verified: ${countsText(event.counts)}`)
  } else warn(troubleText(event))
}

type Of<At extends OpenEvent['at']> = Extract<OpenEvent, { at: At }>
type Trouble = Of<'problem' | 'newer' | 'gap'> | RestoreEvent

const troubleText = (event: Trouble): string => {
  switch (event.at) {
    case 'problem':
      return `! ${event.key === '' ? '' : `${event.key}: `}${showProblem(event.problem)}`
    case 'newer':
      return `! ${event.key} cannot be used and may be newer than the backup taken for the latest.`
    case 'gap':
      return `! ${gapText(event.gap)}`
    case 'lost': {
      const to = event.to === null ? 'the end' : showBytes(placePath(event.to))
      return `! lost: every entry from ${showBytes(placePath(event.from))} up to ${to}: ${showProblem(event.problem)}`
    }
    case 'damaged':
    case 'failed':
      return `! ${event.at}: ${showBytes(event.path)}: ${showProblem(event.problem)}`
    case 'skipped':
      return `- not in the backup: ${showBytes(event.path)} (${event.reason})`
    case 'absent':
      return `! not found: ${showBytes(event.path)}`
  }
}

const vaultText = ({ vault, trust, fingerprint, backups }: Of<'vault'>): string => {
  const how =
    trust === 'fingerprint'
      ? 'its genesis is the one you named'
      : 'trust on first use: compare its fingerprint with the recovery kit, or give --genesis'
  return `Vault ${vault}: ${backups === 1 ? '1 backup' : `${formatCount(backups)} backups`} (${how})\n  ${showFingerprint(fingerprint)}`
}

const backupText = (body: RecordBody): string => {
  const when = showTime(body.started).slice(0, 16).replace('T', ' ')
  const errors = body.errors.count === 0 ? '' : `, ${formatCount(body.errors.count)} errors`
  const paths = body.sources.flatMap(({ paths: list = [] }) => list).join(' ')
  return `${body.backup} #${body.sequence} of job ${body.job}, ${when} UTC, ${formatCount(body.counts.files)} files, ${formatBytes(body.bytes.source)}${errors}: ${body.host.hostname} ${paths}`
}

const entryText = ({ path, entry }: Of<'entry'>): string => {
  const owner = `${entry.user ?? entry.uid}:${entry.group ?? entry.gid}`
  const time = showTime(Number(entry.mtime / 1_000_000n)).slice(0, 19)
  const target = entry.target === undefined ? '' : ` -> ${showBytes(entry.target)}`
  const skipped = entry.skipped === undefined ? '' : ` (not in the backup: ${entry.skipped})`
  return `${showMode(entry)} ${owner} ${String(entry.size ?? 0).padStart(12)} ${time.replace('T', ' ')} ${showBytes(path)}${target}${skipped}`
}

const gapText = (gap: Gap): string => {
  switch (gap.gap) {
    case 'missing': {
      const which = gap.first === gap.last ? `#${gap.first}` : `#${gap.first} to #${gap.last}`
      return `Backup ${which} of job ${gap.job} was kept when the newest was made and is not here: removed since, or missing.`
    }
    case 'broken':
      return `Backup #${gap.sequence} of job ${gap.job} does not follow the record before it.`
    case 'double':
      return `There are two records of backup #${gap.sequence} of job ${gap.job}.`
  }
}

const countsText = (counts: RestoreCounts): string => {
  const parts = [
    `${formatCount(counts.files)} files (${formatBytes(counts.bytes)})`,
    `${formatCount(counts.directories)} folders`,
    `${formatCount(counts.others + counts.links)} links and others`,
    ...some(counts.damaged, 'damaged'),
    ...some(counts.lost, 'stretches of the tree lost'),
    ...some(counts.failed, 'could not be written'),
    ...some(counts.absent, 'not found'),
    ...some(counts.skipped, 'not in the backup'),
    ...some(counts.ownersNotSet, 'without their owner (not root)'),
    ...some(counts.attributesNotSet, `without some attributes: ${notSetLines(counts).join('; ')}`),
  ]
  return parts.join(', ')
}

const some = (count: number, what: string): readonly string[] =>
  count === 0 ? [] : [`${formatCount(count)} ${what}`]
