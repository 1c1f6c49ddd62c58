type Token =
  | { readonly kind: 'word' | 'name' | 'text' | 'sign'; readonly text: string }
  | { readonly kind: 'end'; readonly text: '' };

const END: Token = { kind: 'end', text: '' };
const BLANK = /\s/;
/** Everything that may stand in an identifier without quotes. */
const WORD = /[0-9A-Za-z_$\u0080-\uffff]+/y;
/** `/*!50003 … *\/` and `/*M!100301 … *\/` are run: only the brackets are passed over. */
const RUN_COMMENT = /\/\*M?!\d*/y;

/**
 * Words and signs of an SQL statement in order, read only as far as they are asked for (a statement may hold megabytes of values).
 * Words come in upper case, quoted names and texts as they are.
 */
export class SqlWords {
  readonly #text: string;
  #at = 0;
  #ahead: Token | null = null;

  constructor(text: string) {
    this.#text = text;
  }

  /** The next word in upper case and moves on; `''` where no word stands. */
  word(): string {
    const token = this.#peek();
    if (token.kind !== 'word') return '';
    this.#ahead = null;
    return token.text.toUpperCase();
  }

  /** Moves over the next token of any kind: a word in upper case, `·` for anything else, `''` at the end. */
  next(): string {
    const token = this.#peek();
    this.#ahead = null;
    if (token.kind === 'end') return '';
    return token.kind === 'word' ? token.text.toUpperCase() : '·';
  }

  /** True, and moves on, when this word stands here. */
  take(word: string): boolean {
    if (!this.peek(word)) return false;
    this.#ahead = null;
    return true;
  }

  peek(word: string): boolean {
    const token = this.#peek();
    return token.kind === 'word' && token.text.toUpperCase() === word;
  }

  /** An identifier, quoted or not; `''` where none stands. */
  name(): string {
    const token = this.#peek();
    if (token.kind !== 'word' && token.kind !== 'name' && token.kind !== 'text') return '';
    this.#ahead = null;
    return token.text;
  }

  sign(sign: string): boolean {
    const token = this.#peek();
    if (token.kind !== 'sign' || token.text !== sign) return false;
    this.#ahead = null;
    return true;
  }

  /** `X'…'`, as hexadecimal digits; a comma behind it is passed over. */
  hex(): string {
    this.word();
    const text = this.name();
    this.sign(',');
    return text;
  }

  number(): string {
    return this.word();
  }

  /** MySQL's CREATE TABLE … SELECT: its rows follow in the same transaction. */
  endsInStart(): boolean {
    return /\bSTART\s+TRANSACTION\s*$/i.test(this.#text.slice(-100));
  }

  #peek(): Token {
    this.#ahead ??= this.#read();
    return this.#ahead;
  }

  #read(): Token {
    this.#passBlanks();
    const text = this.#text;
    const first = text[this.#at];
    if (first === undefined) return END;
    if (first === '`') return { kind: 'name', text: this.#quoted('`', false) };
    if (first === "'") return { kind: 'text', text: this.#quoted("'", true) };
    // With ANSI_QUOTES a name, without it a text: where a name is looked for, it is one.
    if (first === '"') return { kind: 'text', text: this.#quoted('"', true) };
    WORD.lastIndex = this.#at;
    const word = WORD.exec(text)?.[0];
    if (word === undefined) {
      this.#at += 1;
      return { kind: 'sign', text: first };
    }
    this.#at += word.length;
    return { kind: 'word', text: word };
  }

  #passBlanks(): void {
    const text = this.#text;
    for (;;) {
      const here = text[this.#at];
      if (here === undefined) return;
      if (BLANK.test(here)) this.#at += 1;
      else if (here === '#' || /^--(\s|$)/.test(text.slice(this.#at, this.#at + 3)))
        this.#at = endOf(text, '\n', this.#at);
      else if (here === '*' && text[this.#at + 1] === '/') this.#at += 2;
      else if (here === '/' && text[this.#at + 1] === '*') this.#passComment();
      else return;
    }
  }

  #passComment(): void {
    RUN_COMMENT.lastIndex = this.#at;
    const run = RUN_COMMENT.exec(this.#text)?.[0];
    this.#at = run === undefined ? endOf(this.#text, '*/', this.#at + 2) : this.#at + run.length;
  }

  /** Doubled quotes stand for one; with `escapes`, a backslash takes the next character along. */
  #quoted(quote: string, escapes: boolean): string {
    const text = this.#text;
    let found = '';
    let at = this.#at + 1;
    for (; at < text.length; at++) {
      const here = text[at];
      if (here === quote) {
        if (text[at + 1] !== quote) break;
        at += 1;
      } else if (here === '\\' && escapes) at += 1;
      found += text[at] ?? '';
    }
    this.#at = at + 1;
    return found;
  }
}

function endOf(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from);
  return at < 0 ? text.length : at + mark.length;
}
