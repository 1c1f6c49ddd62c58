/**
 * Rows of every kind that published data seldom has (fractions of a second, emoji, JSON, truths as words, NULL beside empty texts), beside the tables of
 * each pair, for what those cannot hold. Traffic takes the first `trafficRows` of them away and puts them back, and nothing spoils those.
 */
export const specimens = 'specimen';
export const trafficRows = 40;

export const specimenDdl = {
  postgres: `CREATE TABLE specimen (id int PRIMARY KEY, name varchar(120) NOT NULL, face varchar(120), note varchar(60), price numeric(12,4),
    seen timestamp(6), flag varchar(8), doc text, updated_at timestamp(6) NOT NULL)`,
  mysql: `CREATE TABLE specimen (id int PRIMARY KEY, name varchar(120) NOT NULL, face varchar(120), note varchar(60), price decimal(12,4),
    seen datetime(6), flag varchar(8), doc text, updated_at datetime(6) NOT NULL) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
} as const;

const cities = ['Köln', 'Łódź', 'São Paulo', 'Zürich', 'Ærøskøbing', 'Málaga'];
const faces = ['😀', '🎬', '🇩🇪', '👩‍💻', '🦊'];

/** One specimen as a record of exact texts. */
export function specimen(id: number): Readonly<Record<string, string | null>> {
  const two = (value: number): string => String(value % 28 || 1).padStart(2, '0');
  const moment = `2024-${two((id % 12) + 1)}-${two(id)} ${two(id % 23)}:${two(id * 7)}:${two(id * 3)}`;
  const city = cities[id % cities.length] ?? '';
  return {
    id: String(id),
    name: `Zoë ${city} ${id}`,
    face: id % 7 === 0 ? null : `ticket ${id} ${faces[id % faces.length]} done`,
    note: id % 3 === 0 ? null : id % 3 === 1 ? '' : `see ${id}`,
    price: `${id}.${String(1_001 + ((id * 37) % 8_000)).slice(0, 4)}`,
    seen: `${moment}.${String(100_001 + id * 97).slice(0, 6)}`,
    flag: id % 2 === 0 ? 'true' : 'false',
    doc: JSON.stringify({ city, id, tags: ['a', id % 5], open: id % 2 === 0 }),
    updated_at: `${moment}.5`,
  };
}

/** INSERT of specimens 1 … count, in SQL that both engines take. */
export function specimenSql(count: number): string {
  const quoted = (value: string | null): string =>
    value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`;
  const rows = Array.from({ length: count }, (_, index) => {
    const values = Object.values(specimen(index + 1)).map(quoted);
    return `(${values.join(', ')})`;
  });
  return `INSERT INTO specimen VALUES ${rows.join(',\n')}`;
}
