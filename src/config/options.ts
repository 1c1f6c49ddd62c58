import { backfillOptions } from './backfill-options.ts';
import { collectionGroups } from './collection-groups.ts';
import { collectionOptions } from './collection-options.ts';
import { columnOverrides } from './column-overrides.ts';
import { verifyOptions } from './evidence-options.ts';
import { approvalOptions, gateOptions } from './gate-options.ts';
import type { OptionEntry } from './option-entry.ts';
import { type DaysByPhase, programmeOptions, reportOptions } from './programme-options.ts';
import { redactionOptions } from './redaction-options.ts';
import { instanceOptions, readOptions, writeOptions } from './router-options.ts';
import { switchOptions } from './switch-options.ts';
import { trafficReference } from './traffic-reference.ts';
import { logOptions, workerOptions } from './worker-options.ts';

export { collectionOptions } from './collection-options.ts';

/** Every option outside of collections, by group. `docs/reference/options.md` is generated from this table. */
export const optionTable = {
  reads: readOptions,
  writes: writeOptions,
  instances: instanceOptions,
  backfill: backfillOptions,
  verify: verifyOptions,
  gates: gateOptions,
  approvals: approvalOptions,
  switch: switchOptions,
  log: logOptions,
  worker: workerOptions,
  programme: programmeOptions,
  report: reportOptions,
  redaction: redactionOptions,
} as const satisfies Readonly<
  Record<
    string,
    Readonly<
      Record<
        string,
        | OptionEntry<number>
        | OptionEntry<string>
        | OptionEntry<string | null>
        | OptionEntry<DaysByPhase>
      >
    >
  >
>;

type ValueOf<E> = E extends OptionEntry<infer T> ? T : never;
type Widened<T> = T extends number ? number : T;

export type OptionGroup = keyof typeof optionTable;

/** What a user may write: every group and every option may be left out. */
export type OptionsInput = {
  readonly [G in OptionGroup]?: {
    readonly [K in keyof (typeof optionTable)[G]]?: Widened<ValueOf<(typeof optionTable)[G][K]>>;
  };
};

/** Every option with its value. Frozen. */
export type MigrationOptions = {
  readonly [G in OptionGroup]: {
    readonly [K in keyof (typeof optionTable)[G]]: Widened<ValueOf<(typeof optionTable)[G][K]>>;
  };
};

/** `docs/reference/options.md`. */
export function optionsReference(): string {
  const row = (path: string, entry: OptionEntry<unknown>): string =>
    `| \`${path}\` | ${JSON.stringify(entry.default)} | ${entry.unit} | ${entry.range.replaceAll('|', '\\|')} | ${entry.effect} |`;
  const head = '| option | default | unit | range | effect |\n| --- | --- | --- | --- | --- |';
  const sections = [
    ['collections.<name>', collectionOptions],
    ['collections.<name>.columns.<column>', columnOverrides],
    ...Object.entries(collectionGroups).map(([group, entries]) => [
      `collections.<name>.${group}`,
      entries,
    ]),
    ...Object.entries(optionTable),
  ] as readonly (readonly [string, Readonly<Record<string, OptionEntry<unknown>>>])[];
  const body = sections.map(
    ([group, entries]) =>
      `## ${group}\n\n${head}\n${Object.entries(entries)
        .map(([name, entry]) => row(`${group}.${name}`, entry))
        .join('\n')}\n`,
  );
  return `# Options\n\nGenerated from \`src/config/options.ts\`. Everything here may be left out of \`changeover.config.ts\`.\n\n${body.join('\n')}\n${trafficReference}`;
}
