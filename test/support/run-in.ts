import pg from 'pg';

/** Runs statements in a PostgreSQL database over a connection of its own. */
export async function runIn(url: string, statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
