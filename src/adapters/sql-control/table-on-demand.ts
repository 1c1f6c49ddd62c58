import type { ControlTransaction, SqlControlEngine } from './sql-control-engine.ts';

/** A table apart from the numbered format, which earlier releases are not disturbed by. */
interface TableOnDemand {
  readonly name: string;
  /** A read of it that costs nothing; fails where it does not exist. */
  readonly look: () => Promise<unknown>;
  /** Idempotent. */
  readonly make: (tx: ControlTransaction) => Promise<void>;
}

/** Resolves when the table is there; makes it with the first call. A failure is tried again by the next. */
export function tableOnDemand(
  engine: SqlControlEngine,
  ready: () => Promise<void>,
  { name, look, make }: TableOnDemand,
): () => Promise<void> {
  let made: Promise<void> | null = null;
  const ensure = async (): Promise<void> => {
    const exists = await look().then(
      () => true,
      () => false,
    );
    if (exists) return;
    await engine.transaction(`creating table ${name}`, async (tx) => {
      await engine.lockSchema(tx);
      await make(tx);
    });
  };
  return async () => {
    await ready();
    made ??= ensure().catch((error: unknown) => {
      made = null;
      throw error;
    });
    await made;
  };
}
