/** Number of single-character edits between two words (Levenshtein 1966, two rows). */
export function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const change = a[row - 1] === b[column - 1] ? 0 : 1;
      current[column] = Math.min(
        (above[column] as number) + 1,
        (current[column - 1] as number) + 1,
        (above[column - 1] as number) + change,
      );
    }
    above = current;
  }
  return above[b.length] as number;
}

/** ` Did you mean "x"?` when a known word is near, else the list of the known words. Begins with a space. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = known
    .map((one) => ({ one, distance: editDistance(word.toLowerCase(), one.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  if (near && near.distance <= Math.max(2, Math.floor(word.length / 3))) {
    return ` Did you mean "${near.one}"?`;
  }
  return known.length === 0 ? '' : ` Known are: ${known.join(', ')}.`;
}
