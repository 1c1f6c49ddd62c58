import { type ChildProcess, spawn } from 'node:child_process';

/**
 * A shell that outlives us, reads our end of a pipe, and at its end (we exited, or were killed
 * with SIGKILL) stops the server at once and removes its folder. A shell, because it starts in a
 * millisecond and needs no file of ours; a handler for `exit` cannot see a SIGKILL.
 */
const SCRIPT = `
trap '' HUP INT TERM QUIT
folder=$1 data=$2 keep=$3 pid= told=
while IFS= read -r line; do
  case $line in
    released) exit 0 ;;
    'pid '*) pid=\${line#pid } told=yes ;;
    keep) keep=yes ;;
  esac
done
if [ -z "$told" ]; then
  for i in 1 2 3 4 5; do
    if [ -s "$data/postmaster.pid" ]; then break; fi
    sleep 0.2
  done
  if [ -s "$data/postmaster.pid" ]; then read -r pid < "$data/postmaster.pid"; fi
fi
children() {
  if [ -r /proc/self/stat ]; then
    for stat in /proc/[0-9]*/stat; do
      { read -r id name state parent rest < "$stat"; } 2>/dev/null || continue
      if [ "$parent" = "$pid" ]; then echo "$id"; fi
    done
  else
    ps -A -o pid=,ppid= | while read -r id parent; do
      if [ "$parent" = "$pid" ]; then echo "$id"; fi
    done
  fi
}
running() {
  # A process that has ended but was not yet collected by init counts as gone.
  if [ -r /proc/self/stat ]; then
    { read -r id name state rest < "/proc/$pid/stat"; } 2>/dev/null && [ "$state" != Z ]
  else
    kill -0 "$pid" 2>/dev/null
  fi
}
if [ -n "$pid" ] && [ "$pid" != 0 ]; then
  family=$(children)
  kill -QUIT $pid $family 2>/dev/null
  kill -CONT $family $pid 2>/dev/null
  for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    running || break
    sleep 0.1
  done
  kill -KILL $pid $family 2>/dev/null
fi
if [ "$keep" != yes ]; then rm -rf "$folder"; fi
`;

export interface Watchdog {
  /** Tells it which process to end; 0 for none. */
  watch(pid: number): void;
  /** Sends it away: nothing is left to clean up. Idempotent. */
  release(): void;
}

/** Starts the watchdog for a server whose files lie in `folder`, its data in `dataDir`. */
export function startWatchdog(folder: string, dataDir: string, keep: boolean): Watchdog {
  // A session of its own: Ctrl-C in the terminal and a kill of our process group pass it by.
  const child: ChildProcess = spawn(
    '/bin/sh',
    ['-c', SCRIPT, 'changeover-watchdog', folder, dataDir, keep ? 'yes' : 'no'],
    { detached: true, cwd: '/', stdio: ['pipe', 'ignore', 'ignore'] },
  );
  const input = child.stdin;
  // It may have been killed by hand; the server is still stopped by its owner then.
  input?.on('error', () => {});
  child.on('error', () => {});
  child.unref();
  (input as unknown as { unref?: () => void } | null)?.unref?.();
  let released = false;
  return {
    watch(pid) {
      if (!released) input?.write(`pid ${pid}\n`);
    },
    release() {
      if (released) return;
      released = true;
      input?.end('released\n');
    },
  };
}
