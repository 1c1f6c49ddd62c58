// A process that owns a private server, for tests that end the owner: prints one JSON line with
// the server's pid and data folder, then waits to be killed (`serve`, `paused`) or exits (`exit`).
import { startPrivateMariadb } from './mariadb-server.ts';

const mode = process.argv[2];
const server = await startPrivateMariadb();
if (mode === 'paused') server.pause();
const line = JSON.stringify({ pid: server.pid, data: server.dataDir });
process.stdout.write(`${line}\n`, () => {
  if (mode === 'exit') process.exit(0);
});
setInterval(() => {}, 60_000);
