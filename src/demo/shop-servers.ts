import { type PrivatePostgres, startPrivatePostgres } from './private-postgres.ts';

/** The two servers of the demo: the target has to be stopped alone, so it has a server of its own. */
export interface ShopServers {
  readonly legacy: PrivatePostgres;
  readonly modern: PrivatePostgres;
  readonly sourceUrl: string;
  readonly targetUrl: string;
  /** Ends both, with their files. Idempotent. */
  stop(): Promise<void>;
}

/** Modest memory, and checkpoints out of the way: the story lasts two minutes. */
const settings = {
  shared_buffers: '128MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '30min',
  jit: 'off',
  max_prepared_transactions: '0',
};

export interface ShopServersOptions {
  /** Leave servers and data when we exit. */
  readonly signal: AbortSignal;
}

/** Starts two private servers and creates an empty database on each. Ends what was started when one of them fails. */
export async function startShopServers({ signal }: ShopServersOptions): Promise<ShopServers> {
  const started = await Promise.allSettled([
    startPrivatePostgres({ source: 'any', settings }),
    startPrivatePostgres({ source: 'any', settings }),
  ]);
  const running = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(running.map((server) => server.stop()));
  };
  try {
    signal.throwIfAborted();
    const [legacy, modern] = started.map((one) => {
      if (one.status === 'rejected') throw one.reason;
      return one.value;
    }) as [PrivatePostgres, PrivatePostgres];
    const sourceUrl = await legacy.createDatabase('legacy_shop');
    const targetUrl = await modern.createDatabase('modern_shop');
    return { legacy, modern, sourceUrl, targetUrl, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
