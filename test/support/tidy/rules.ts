import { posix } from 'node:path';
import { AMBIENT_HOMES, LAYERS, LAZY, PACKAGE_HOMES, SHARED_ADAPTERS } from './layers.ts';
import type { ImportFact, SourceFacts } from './source-facts.ts';

/** A rule looks at all files and returns one line for each violation. */
export type Rule = (files: readonly SourceFacts[]) => readonly string[];

export const LINES_MAX = 500;
const BANNED_WORDS = new Set([
  'util',
  'utils',
  'helper',
  'helpers',
  'manager',
  'managers',
  'common',
  'misc',
]);
const KEBAB = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|config|d))?\.ts$/;
const KEBAB_FOLDER = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** The folder of src/ a path lies in, `index` for files directly in src/; undefined elsewhere. */
function folderOf(path: string): string | undefined {
  const [top, folder, ...rest] = path.split('/');
  if (top !== 'src' || folder === undefined) return undefined;
  return rest.length === 0 ? 'index' : folder;
}

/** The path that a relative import names, undefined for a package. */
function targetOf(file: SourceFacts, fact: ImportFact): string | undefined {
  if (!fact.specifier.startsWith('.')) return undefined;
  return posix.normalize(posix.join(posix.dirname(file.path), fact.specifier));
}

const inSource = (files: readonly SourceFacts[]): readonly SourceFacts[] =>
  files.filter(({ path }) => path.startsWith('src/'));

const place = (file: SourceFacts, line: number): string => `${file.path}:${line}`;

/** Files that do not parse would slip through every other rule. */
export const parses: Rule = (files) =>
  files.flatMap((file) => file.parseErrors.map((error) => `${file.path}: ${error}`));

/** Imports go down only, as the table says. */
export const layering: Rule = (files) =>
  inSource(files).flatMap((file) => {
    const from = folderOf(file.path) as string;
    if (LAYERS[from] === undefined) return [`${file.path}: src/${from} is not in the layer table`];
    return file.imports.flatMap((fact) => {
      const target = targetOf(file, fact);
      const problem = target && layerProblem(from, target, fact, file.path);
      return problem ? [`${place(file, fact.line)}: ${problem}`] : [];
    });
  });

function layerProblem(
  from: string,
  target: string,
  fact: ImportFact,
  path: string,
): string | undefined {
  const to = folderOf(target);
  if (to === undefined) return `src may not import ${target}, which is not published`;
  if (to === from) return from === 'adapters' ? adapterProblem(path, target) : undefined;
  if (!LAYERS[from]?.includes(to)) return `${from} may not import ${to}`;
  const lazy = LAZY.includes(`${from} -> ${to}`);
  return lazy && !fact.dynamic ? `${from} may import ${to} only by await import(...)` : undefined;
}

function adapterProblem(path: string, target: string): string | undefined {
  const [own, other] = [path, target].map((one) => one.split('/')[2] ?? '');
  if (own === other || SHARED_ADAPTERS.includes(other ?? '')) return undefined;
  return `the adapter ${own} may not import the adapter ${other}`;
}

/** Database clients and other packages stay in the folders that are theirs. */
export const packageHomes: Rule = (files) =>
  inSource(files).flatMap((file) => {
    const from = folderOf(file.path) as string;
    return file.imports.flatMap(({ specifier, line }) => {
      const homes = homesOf(specifier);
      if (homes === undefined || homes.includes(from)) return [];
      return [`${place(file, line)}: ${specifier} may only be imported in ${homes.join(', ')}`];
    });
  });

function homesOf(specifier: string): readonly string[] | undefined {
  for (const [name, homes] of Object.entries(PACKAGE_HOMES)) {
    const matches = name.endsWith('/*')
      ? specifier.startsWith(name.slice(0, -1))
      : specifier === name || (!name.startsWith('node:') && specifier.startsWith(`${name}/`));
    if (matches) return homes;
  }
  return undefined;
}

/** Time and chance come from the runtime, or the simulation could not control them. */
export const ambient: Rule = (files) =>
  inSource(files)
    .filter(({ path }) => !AMBIENT_HOMES.includes(folderOf(path) as string))
    .flatMap((file) =>
      file.ambient.map(({ what, line }) => `${place(file, line)}: ${what} outside of src/runtime`),
    );

/** No `any`, in tests neither. */
export const noAny: Rule = (files) =>
  files.flatMap((file) => file.anyTypes.map(({ line }) => `${place(file, line)}: the type any`));

/** A file beyond the wall has to be split. */
export const length: Rule = (files) =>
  files
    .filter(({ lines }) => lines > LINES_MAX)
    .map(({ path, lines }) => `${path}: ${lines} lines, at most ${LINES_MAX}`);

/** Names say what is inside: kebab-case, and no drawer for odds and ends. */
export const names: Rule = (files) =>
  files.flatMap(({ path }) => {
    const parts = path.split('/');
    const odd = parts.filter((part, index) =>
      index === parts.length - 1 ? !KEBAB.test(part) : !KEBAB_FOLDER.test(part),
    );
    const banned = path.split(/[/.-]/).filter((word) => BANNED_WORDS.has(word));
    return [
      ...odd.map((part) => `${path}: ${part} is not kebab-case`),
      ...banned.map((word) => `${path}: "${word}" says nothing about what is inside`),
    ];
  });

/** Folders of src/ form a tree of dependencies, so that each can be understood by itself. */
export const cycles: Rule = (files) => {
  const edges = new Map<string, Set<string>>();
  for (const file of inSource(files)) {
    const from = folderOf(file.path) as string;
    for (const fact of file.imports) {
      const to = folderOf(targetOf(file, fact) ?? '');
      if (to === undefined || to === from || LAZY.includes(`${from} -> ${to}`)) continue;
      edges.set(from, (edges.get(from) ?? new Set()).add(to));
    }
  }
  const found = new Map<string, string>();
  for (const start of edges.keys()) {
    const cycle = pathBack(edges, start);
    const members = cycle && [...cycle].sort().join();
    // The same circle is met again from each of its folders.
    if (cycle && members && !found.has(members)) {
      found.set(members, [...cycle, start].join(' -> '));
    }
  }
  return [...found.values()].map((cycle) => `folders import each other: ${cycle}`);
};

/** The shortest way from a folder back to itself. */
function pathBack(
  edges: ReadonlyMap<string, ReadonlySet<string>>,
  start: string,
): readonly string[] | undefined {
  const seen = new Set<string>();
  let paths: readonly (readonly string[])[] = [[start]];
  while (paths.length > 0) {
    const next: (readonly string[])[] = [];
    for (const path of paths) {
      for (const to of edges.get(path.at(-1) as string) ?? []) {
        if (to === start) return path;
        if (seen.has(to)) continue;
        seen.add(to);
        next.push([...path, to]);
      }
    }
    paths = next;
  }
  return undefined;
}

export const RULES: Readonly<Record<string, Rule>> = {
  'every file parses': parses,
  'imports go down only': layering,
  'database clients and other packages stay where they belong': packageHomes,
  'time, chance and timers come from src/runtime': ambient,
  'no file uses the type any': noAny,
  [`no file has more than ${LINES_MAX} lines`]: length,
  'files and folders are kebab-case and named for what is inside': names,
  'folders do not import each other in a circle': cycles,
};
