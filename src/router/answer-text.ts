/**
 * The content of a closure's answer as text, to tell repeats from new answers: the same content gives the same text, whatever the order of its properties.
 * null: it cannot be written down (rings), and so proves nothing. Values that JSON does not tell apart give one text, which only counts less.
 */
export function answerText(answer: unknown): string | null {
  try {
    return JSON.stringify(answer, ordered) ?? null;
  } catch {
    return null;
  }
}

function ordered(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Map) return [...value];
  if (value instanceof Set) return [...value];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const names = Object.keys(value).sort();
  return Object.fromEntries(names.map((name) => [name, (value as Record<string, unknown>)[name]]));
}
