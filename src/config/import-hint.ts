/**
 * What to do about a configuration that could not be imported for a reason that everybody meets once: a database client that is not installed, an ES module
 * where Node expects CommonJS. '': nothing is known.
 */
export function importHint(error: unknown): string {
  const { message = '' } = error instanceof Error ? error : new Error(String(error));
  const missing = /Cannot find package '((?:@[^/']+\/)?[^/']+)[^']*' imported/.exec(message)?.[1];
  if (missing !== undefined) return `. Install it: npm install ${missing}`;
  return /import statement outside a module|Unexpected token 'export'/.test(message)
    ? '. Rename the file to changeover.config.mjs, or write "type": "module" into package.json'
    : '';
}
