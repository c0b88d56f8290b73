/** Names and link targets that programs stumble over, as byte strings. */
export const NAMES = [
  ['new\nline', '\n', ' ', ' begins', 'ends ', 'a  b', 'tab\t', 'bell\x07', '\x7f', '\x01\x02\x1b'],
  [
    '"',
    "'",
    '`',
    '$HOME',
    '$(id)',
    'back\\slash',
    '\\',
    '%s%n',
    '*',
    '?',
    '[a]',
    '{a,b}',
    '#',
    '~',
  ],
  ['-rf', '--', '...', '.hidden', '..a', 'dot.', 'CON', 'a:b', '<>|', '&&', ';', '!', 'A', 'a'],
  ['\xff', '\xc3', '\xc0\xaf', '\xed\xa0\x80', 'latin1 \xfc', '\xf8\x88\x80\x80\x80', '\xfe\xff'],
].flat()
/** To be written as UTF-8. */
export const TEXT_NAMES = ['\u00e9', 'e\u0301', '\ufeff', '\u202egnp', '\u2028', '😀', '日本語']
export const LONG_NAMES = ['n'.repeat(255), '\xff'.repeat(255), 'ü'.repeat(127)]

export const TARGETS = [
  [
    'nowhere',
    '.',
    '..',
    '/',
    '//a//b/',
    'self',
    '../..',
    'file',
    '/etc/passwd',
    'a\nb',
    '\xff\xfe',
  ],
  ['t'.repeat(255), '/t'.repeat(2047), 'ü', ' ', '$HOME', '/proc/self/fd/0'],
].flat()
