// `npm start`: installs and builds what is missing, then runs the demo.
// Nothing but the program's own output reaches stdout.
import { join } from 'node:path';
import { ensureBuilt } from './build.mjs';
import { ensureInstall, root, runToTheEnd } from './with-install.mjs';

ensureInstall();
ensureBuilt();
const main = join(root, 'dist', 'cli', 'main.js');
runToTheEnd(process.execPath, ['--enable-source-maps', main, 'demo', ...process.argv.slice(2)]);
