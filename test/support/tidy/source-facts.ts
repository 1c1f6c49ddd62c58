import { parseSync } from 'vite';

/** What the tidy rules need to know about one file, read from its syntax tree. */
export interface SourceFacts {
  /** Relative to the root of the repository, with forward slashes. */
  readonly path: string;
  readonly lines: number;
  readonly imports: readonly ImportFact[];
  /** Readings of the clock, of chance, and timers: `Date.now`, `new Date()`, `setTimeout` ... */
  readonly ambient: readonly PlacedFact[];
  readonly anyTypes: readonly PlacedFact[];
  /** Empty, or what the parser did not understand. */
  readonly parseErrors: readonly string[];
}

export interface ImportFact {
  readonly specifier: string;
  readonly line: number;
  /** `import('...')` as an expression: evaluated only when it is reached. */
  readonly dynamic: boolean;
}

export interface PlacedFact {
  readonly what: string;
  readonly line: number;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

const TIMERS = new Set(['setTimeout', 'setInterval', 'setImmediate']);
const AMBIENT_MEMBERS = new Set([
  'Date.now',
  'Math.random',
  'performance.now',
  'process.hrtime',
  'AbortSignal.timeout',
]);
const GLOBALS = new Set(['globalThis', 'global', 'window', 'self']);

/** Reads one file; never throws on source that does not parse. */
export function sourceFacts(path: string, text: string): SourceFacts {
  const imports: ImportFact[] = [];
  const ambient: PlacedFact[] = [];
  const anyTypes: PlacedFact[] = [];
  const { program, errors } = parseSync(path, text);
  const lineOf = lineFinder(text);
  walk(program as unknown as Node, undefined, '', (node, parent, role) => {
    const line = lineOf(node.start);
    const specifier = importedFrom(node);
    if (specifier !== undefined) {
      imports.push({ specifier, line, dynamic: node.type === 'ImportExpression' });
    }
    if (node.type === 'TSAnyKeyword') anyTypes.push({ what: 'any', line });
    const what = ambientUse(node, parent, role);
    if (what !== undefined) ambient.push({ what, line });
  });
  const lines = text.endsWith('\n') ? text.split('\n').length - 1 : text.split('\n').length;
  return { path, lines, imports, ambient, anyTypes, parseErrors: errors.map((e) => e.message) };
}

function importedFrom(node: Node): string | undefined {
  const carriesSource =
    node.type === 'ImportDeclaration' ||
    node.type === 'ExportNamedDeclaration' ||
    node.type === 'ExportAllDeclaration' ||
    node.type === 'ImportExpression' ||
    node.type === 'TSImportType';
  if (!carriesSource) return undefined;
  const source = node['source'] as { value?: unknown } | null | undefined;
  return typeof source?.value === 'string' ? source.value : undefined;
}

function ambientUse(node: Node, parent: Node | undefined, role: string): string | undefined {
  if (node.type === 'MemberExpression') {
    const name = `${nameOf(node['object'])}.${nameOf(node['property'])}`;
    if (AMBIENT_MEMBERS.has(name)) return name;
    const [object = '', property = ''] = name.split('.');
    return GLOBALS.has(object) && TIMERS.has(property) ? property : undefined;
  }
  if (node.type === 'NewExpression' && nameOf(node['callee']) === 'Date') {
    return (node['arguments'] as unknown[]).length === 0 ? 'new Date()' : undefined;
  }
  if (node.type === 'CallExpression' && nameOf(node['callee']) === 'Date') return 'Date()';
  if (node.type !== 'Identifier' || !TIMERS.has(node['name'] as string)) return undefined;
  // A member, key or method of that name belongs to some object of ours; the bare name is global.
  const isName = role === 'property' || role === 'key' || parent?.type === 'ImportSpecifier';
  return isName ? undefined : (node['name'] as string);
}

function nameOf(node: unknown): string | undefined {
  const { type, name } = node as { type?: string; name?: unknown };
  return type === 'Identifier' ? String(name) : undefined;
}

function walk(
  node: Node,
  parent: Node | undefined,
  role: string,
  visit: (node: Node, parent: Node | undefined, role: string) => void,
): void {
  visit(node, parent, role);
  for (const [key, value] of Object.entries(node)) {
    const children = Array.isArray(value) ? value : [value];
    for (const child of children) {
      if (typeof (child as Node | null)?.type === 'string') walk(child as Node, node, key, visit);
    }
  }
}

function lineFinder(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    const next = starts.findIndex((start) => start > offset);
    return next < 0 ? starts.length : next;
  };
}
