/**
 * The order of event ids, as far as it can be told: `EPOCH-NUMBER`, numbers rise within an epoch.
 *
 * Nothing is lost where it can't be told; at the worst something is given that was not asked for.
 */

/** Whether *id* comes after *other*; undefined where that can't be told. */
export function isAfter(id: string, other: string): boolean | undefined {
	const [epoch, number] = parts(id);
	const [otherEpoch, otherNumber] = parts(other);
	if (number === undefined || otherNumber === undefined || epoch !== otherEpoch) return undefined;
	return number > otherNumber;
}

function parts(id: string): [string, bigint | undefined] {
	const dash = id.lastIndexOf("-");
	const digits = id.slice(dash + 1);
	return [id.slice(0, dash), dash > 0 && /^\d{1,19}$/.test(digits) ? BigInt(digits) : undefined];
}
