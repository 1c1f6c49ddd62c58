const keptLines = 20_000;

/** What happened: a running hash of every line, and the last lines in words. */
export class Trace {
  private hash = 0x811c9dc5;
  private readonly lines: string[] = [];
  private next = 0;
  private count = 0;

  /** `text` must not depend on anything but the seed. */
  add(at: number, text: string): void {
    const line = `${at.toFixed(3).padStart(10)}  ${text}`;
    for (let index = 0; index < line.length; index++) {
      this.hash = Math.imul(this.hash ^ line.charCodeAt(index), 0x01000193);
    }
    this.lines[this.next] = line;
    this.next = (this.next + 1) % keptLines;
    this.count += 1;
  }

  /** Equal for equal runs. */
  get digest(): string {
    return `${(this.hash >>> 0).toString(16).padStart(8, '0')}-${this.count}`;
  }

  /** The last `count` lines, oldest first; with `about`, only those that contain it. */
  last(count: number, about?: string): readonly string[] {
    const ordered = [...this.lines.slice(this.next), ...this.lines.slice(0, this.next)];
    const wanted = ordered.filter(
      (line) => line !== undefined && (about === undefined || line.includes(about)),
    );
    return wanted.slice(-count);
  }
}
