import { fileURLToPath } from 'node:url'
import tseslint from 'typescript-eslint'

const root = fileURLToPath(new URL('../..', import.meta.url))
const size = (n) => ({ max: n, skipBlankLines: true, skipComments: true })

const noWorld = {
  'no-restricted-globals': [
    'error',
    'process',
    'setTimeout',
    'setInterval',
    'setImmediate',
    'fetch',
  ],
  'no-restricted-properties': [
    'error',
    { object: 'Date', property: 'now', message: 'Time is an argument (shared/world.ts).' },
    { object: 'Math', property: 'random', message: 'Chance is an argument (shared/world.ts).' },
    { property: 'randomUUID', message: 'Chance is an argument (shared/world.ts).' },
    { property: 'randomBytes', message: 'Chance is an argument (shared/world.ts).' },
  ],
  'no-restricted-syntax': [
    'error',
    {
      selector: "NewExpression[callee.name='Date'][arguments.length=0]",
      message: 'Time is an argument.',
    },
    {
      selector: 'ClassDeclaration:not([superClass])',
      message: 'Functions over data (STYLE, rule 13).',
    },
  ],
}

export default tseslint.config(
  {
    ignores: [
      'node_modules/**',
      'data/**',
      'deploy/bin/**',
      'test/arch/*.cjs',
      'test/arch/*.js',
      'test/.tmp/**',
    ],
  },
  tseslint.configs.strictTypeChecked,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: root } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/strict-boolean-expressions': 'error',
      '@typescript-eslint/promise-function-async': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/consistent-type-definitions': ['error', 'type'],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'max-lines': ['error', size(300)],
      'max-lines-per-function': ['error', size(60)],
      'max-params': ['error', 4],
      complexity: ['error', 15],
      'no-param-reassign': 'error',
      'no-console': 'error',
    },
  },
  { files: ['shared/**/*.ts', '*/core/**/*.ts', '*/flow/**/*.ts'], rules: noWorld },
  {
    files: ['*/entry/cli/**/*.ts', 'test/soak/**/*.ts', 'test/bench/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['test/**/*.ts'],
    rules: { 'max-lines-per-function': 'off', '@typescript-eslint/no-non-null-assertion': 'off' },
  },
)
