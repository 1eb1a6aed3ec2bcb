/**
 * Whose stream it is: tabs share one only where the token says the same of the caller.
 *
 * Reads a JWT's claims without verifying them: the service does that. Knows nothing of streams.
 */

/** Claims that differ between two tokens of the same session, and change nothing of what the caller may see. */
const FLEETING = new Set(["exp", "iat", "nbf", "jti", "auth_time", "nonce", "at_hash"]);

/**
 * A name that says nothing of the token itself, the same for all tokens that say the same of a caller.
 *
 * Where there are no hashes it does say it; tabs don't find each other there either, so that it stays in the page.
 *
 * @param where What else sets streams apart: the URL.
 */
export async function nameOf(
	where: string,
	token: string | undefined,
	user: string | undefined,
): Promise<string> {
	const told = JSON.stringify([where, user ?? null, token === undefined ? null : (claims(token) ?? token)]);
	if (crypto.subtle === undefined) return told;
	const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(told));
	return Array.from(new Uint8Array(digest, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function claims(token: string): unknown {
	const parts = token.split(".");
	if (parts.length !== 3) return undefined;
	try {
		const binary = atob((parts[1] as string).replace(/-/g, "+").replace(/_/g, "/"));
		const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
		const all = Object.entries(JSON.parse(new TextDecoder().decode(bytes)) as object);
		return all.filter(([name]) => !FLEETING.has(name)).sort(([a], [b]) => (a < b ? -1 : 1));
	} catch {
		return undefined;
	}
}
