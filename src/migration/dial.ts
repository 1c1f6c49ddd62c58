/** Number of buckets of the dial: one basis point each. */
export const dialBuckets = 10_000;

/**
 * The bucket 0 … 9 999 of a routing key: FNV-1a over UTF-16 units, finished with the murmur3 mixer. Stable across
 * processes, hosts and releases; salted with the migration's name so that migrations do not share their guinea pigs.
 */
export function dialBucket(migration: string, routingKey: string): number {
  // Name, NUL, key, without joining them: building the text costs more than hashing it, and this runs with every dialled read.
  let hash = hashOnward(Math.imul(hashOnward(0x811c9dc5, migration), 0x01000193), routingKey);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % dialBuckets;
}

function hashOnward(before: number, text: string): number {
  let hash = before;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}

/** Raising the dial only adds buckets: a key once switched stays switched until the dial is lowered. */
export function isDialled(bucket: number, dialBasisPoints: number): boolean {
  return bucket < dialBasisPoints;
}
