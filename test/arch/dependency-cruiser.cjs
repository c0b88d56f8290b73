// One rule per arrow of the architecture; the name is the message. See shared/ARCHITECTURE.md, "Who may import what".
const pure = ['crypto', 'zlib', 'buffer', 'util', 'assert', 'path'] // node modules that touch nothing outside
const node = `^(node:)?(${pure.join('|')})$`
const rule = (name, from, to) => ({ name, severity: 'error', from, to })
const packageOnlyIn = (name, packages, folders) =>
  rule(
    name,
    { path: '^(agent|server|shared)/', pathNot: folders },
    { path: `node_modules/(${packages})/` },
  )

module.exports = {
  forbidden: [
    rule('no-circular', {}, { circular: true }),
    rule(
      'shared-imports-only-shared',
      { path: '^shared/' },
      { path: '^(agent|server|test|deploy)/' },
    ),
    rule('shared-does-no-io', { path: '^shared/' }, { dependencyTypes: ['core'], pathNot: node }),
    rule(
      'core-imports-only-core-and-shared',
      { path: '^(agent|server)/core/' },
      { path: '^(agent|server)/', pathNot: '^$1/core/' },
    ),
    rule(
      'core-does-no-io',
      { path: '^(agent|server)/core/' },
      { dependencyTypes: ['core', 'npm'], pathNot: `${node}|^node_modules/croner/` },
    ),
    rule(
      'flow-imports-core-and-ports',
      { path: '^(agent|server)/flow/' },
      { path: '^(agent|server)/', pathNot: '^$1/(core|flow|ports)/|^$1/ports[.]ts$' },
    ),
    rule(
      'flow-does-no-io',
      { path: '^(agent|server)/flow/' },
      { dependencyTypes: ['core', 'npm'], pathNot: node },
    ),
    rule(
      'entry-never-sees-io',
      { path: '^(agent|server)/entry/' },
      { path: '^(agent|server)/io/' },
    ),
    rule(
      'io-never-calls-up',
      { path: '^(agent|server)/io/' },
      { path: '^(agent|server)/(flow|entry)/' },
    ),
    rule(
      'agent-and-server-are-strangers',
      { path: '^(agent|server)/' },
      { path: '^(agent|server)/', pathNot: '^$1/' },
    ),
    rule('only-main-wires', { pathNot: '/main[.]ts$|^test/' }, { path: '/main[.]ts$' }),
    rule('product-never-imports-tests', { pathNot: '^test/' }, { path: '^test/' }),
    rule(
      'no-dev-package-in-product',
      { path: '^(shared|agent|server)/' },
      { dependencyTypes: ['npm-dev'], pathNot: '@types' },
    ),
    rule('no-undeclared-package', {}, { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] }),
    rule('no-unresolved-import', {}, { couldNotResolve: true }),
    packageOnlyIn('schema-library-only-in-schema', 'typebox', '^shared/schema[.]ts$'),
    packageOnlyIn('tweetnacl-only-in-seal', 'tweetnacl', '^shared/seal[.]ts$'),
    packageOnlyIn('database-only-in-db', 'kysely|postgres', '^server/io/db/'),
    packageOnlyIn('s3-client-only-in-s3', '@aws-sdk|@smithy', '^server/io/s3/'),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.json'],
    },
  },
}
