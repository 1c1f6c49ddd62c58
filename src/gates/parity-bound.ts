/**
 * The probability that at most `mismatches` of `comparisons` independent comparisons fail when each fails with probability
 * `rate`: the binomial distribution function, summed term by term in logarithms, exact to about 1e-9 relative.
 */
export function binomialAtMost(mismatches: number, comparisons: number, rate: number): number {
  if (mismatches >= comparisons) return 1;
  if (rate <= 0) return 1;
  if (rate >= 1) return 0;
  const ratio = Math.log(rate) - Math.log1p(-rate);
  let term = comparisons * Math.log1p(-rate);
  let sum = Math.exp(term);
  for (let count = 0; count < mismatches; count++) {
    term += Math.log((comparisons - count) / (count + 1)) + ratio;
    sum += Math.exp(term);
  }
  return Math.min(1, sum);
}

/** Beyond this many mismatches the exact sum costs more than it tells. */
const EXACT_MISMATCHES_MAX = 20_000;

/**
 * The share of equal answers that is proven with one-sided `confidence`: Clopper and Pearson, "The use of confidence or
 * fiducial limits illustrated in the case of the binomial", Biometrika 26 (1934). Found by bisection and rounded towards zero. Beyond
 * 20 000 mismatches Hoeffding's inequality (1963) is used, which is lower still. 0 without comparisons.
 */
export function parityLowerBound(
  comparisons: number,
  mismatches: number,
  confidence: number,
): number {
  if (comparisons <= 0 || mismatches >= comparisons) return 0;
  const doubt = 1 - confidence;
  if (mismatches > EXACT_MISMATCHES_MAX) {
    const margin = Math.sqrt(-Math.log(doubt) / (2 * comparisons));
    return Math.max(0, 1 - mismatches / comparisons - margin);
  }
  let below = 0;
  let above = 1;
  // The distribution function falls with the rate: the upper limit of the rate is where it meets the doubt.
  for (let step = 0; step < 100 && above - below > 0; step++) {
    const middle = (below + above) / 2;
    if (middle === below || middle === above) break;
    if (binomialAtMost(mismatches, comparisons, middle) > doubt) below = middle;
    else above = middle;
  }
  return 1 - above;
}

/** True when the comparisons prove at least `parity`. Decided on the distribution itself, not on the rounded bound. */
export function provesParity(
  comparisons: number,
  mismatches: number,
  parity: number,
  confidence: number,
): boolean {
  if (comparisons <= 0) return false;
  const rate = 1 - parity;
  // With as many mismatches as the rate allows on average the distribution function is near 1/2 already.
  if (mismatches >= comparisons * rate && mismatches > 0) return false;
  if (mismatches > EXACT_MISMATCHES_MAX)
    return parityLowerBound(comparisons, mismatches, confidence) >= parity;
  return binomialAtMost(mismatches, comparisons, rate) <= 1 - confidence;
}

/** Comparisons needed when no further mismatch comes. */
export function comparisonsNeeded(mismatches: number, parity: number, confidence: number): number {
  let enough = 1;
  while (!provesParity(enough, mismatches, parity, confidence) && enough < 2 ** 52) enough *= 2;
  let short = Math.floor(enough / 2);
  while (enough - short > 1) {
    const middle = Math.floor((short + enough) / 2);
    if (provesParity(middle, mismatches, parity, confidence)) enough = middle;
    else short = middle;
  }
  return enough;
}

/** A share as per cent, cut off, never rounded up: `99.9999 %`. */
export function percentText(share: number): string {
  const text = (Math.floor(share * 1e10) / 1e8).toFixed(8).replace(/\.?0+$/, '');
  return `${text} %`;
}
