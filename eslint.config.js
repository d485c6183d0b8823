import neostandard from 'neostandard'

export default [
  ...neostandard({
    ts: true,
    filesTs: ['**/*.ts'],
    ignores: ['dist', '.tap', 'node_modules']
  }),
  {
    // `void` before a call says that its promise is not waited for, and cannot reject.
    rules: { 'no-void': ['error', { allowAsStatement: true }] }
  }
]
